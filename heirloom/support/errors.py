"""The one exception that is shown to a user without a traceback."""


class HeirloomError(Exception):
    """Something the user can put right: the message names the file or key, and the way out."""
