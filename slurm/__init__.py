"""Jobs on a cluster, or on this machine in the background: submission, what became of them, their logs. On submitit.

Nothing here knows what the commands do that it runs. A task has a key; the ledger says which job carries it.
"""


class JobError(Exception):
    """A submission or a cluster that cannot be used as asked; one line that says what to do."""
