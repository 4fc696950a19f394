"""The one exception that is shown to a user without a traceback."""


class HeirloomError(Exception):
    """An error that the user can fix: the message names the file or key, and what to do."""
