"""The one family of errors: a message that names the thing, and a hint that says what to do.

Libraries raise these; only the command line and the web turn them into output.
"""


class Error(Exception):
    """Any failure that Firsthand explains; carries an exit code and an HTTP status."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Failed(Error):
    """The work could not be done."""


class Unavailable(Failed):
    """Something that this needs does not answer just now; nothing was changed."""

    http_status = 503


class Usage(Error):
    """The request itself is wrong."""

    exit_code = 2
    http_status = 400


class Partial(Error):
    """Some of the work was done, and the message says which part was not."""

    exit_code = 3
    http_status = 207


class NotFound(Error):
    """The named thing does not exist."""

    exit_code = 10
    http_status = 404


class Locked(Error):
    """Someone else holds the thing."""

    exit_code = 11
    http_status = 423


class WrongKey(Error):
    """The key, passphrase or identity does not open this."""

    exit_code = 12
    http_status = 403


class Refused(Error):
    """Consent or law says no."""

    exit_code = 13
    http_status = 403


class Damaged(Error):
    """Bytes are not what was signed, sealed or promised."""

    exit_code = 14
    http_status = 422


class Forged(Damaged):
    """A signature is not by the key that it has to be by."""
