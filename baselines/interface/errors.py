"""The error for problems that a user can correct."""


class UserError(Exception):
    """Invalid input. The message is one line that names the file, option or value and says what to do.

    The command line prints only the message and exits with status 2. `--debug` adds the traceback.
    """
