"""Jobs on a Slurm cluster, or in the background of this machine: submission, state, logs. Built on submitit.

This package does not know what the submitted commands do. A task has a key; the ledger says which job runs it.
"""


class JobError(Exception):
    """A submission or a cluster that cannot be used as requested. The message is one line that says what to do."""
