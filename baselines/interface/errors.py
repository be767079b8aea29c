"""What a user can mend."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, option or value and says what to do.

    The command line prints the message alone and exits with 2; a traceback is shown only with `--debug`.
    """
