"""From an exception to two lines on stderr and an exit code. The only place that does this."""

import errno
import os
import sys
from collections.abc import Callable

import typer
from typer.exceptions import TyperException

from firsthand.errors import Error

FAILED = 1
INTERRUPTED = 130

HINTS = {
    errno.ENOSPC: "free some space, or choose another folder with --data; then run it again",
    errno.EDQUOT: "free some space, or choose another folder with --data; then run it again",
    errno.EACCES: "check the permissions, or choose another folder with --data",
    errno.EPERM: "check the permissions, or choose another folder with --data",
    errno.EROFS: "choose a folder that can be written with --data",
    errno.ENOENT: "check the path",
    errno.EADDRINUSE: "choose another port, or stop what uses this one",
    errno.ECONNREFUSED: 'start the server with "firsthand serve", or check its address',
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}

# Which extra brings a package that a bare installation lacks.
EXTRAS = {
    "av": "media",
    "zxingcpp": "device",
    "fastapi": "server",
    "jinja2": "server",
    "obstore": "server",
    "prometheus_client": "server",
    "segno": "server",
    "sqlalchemy": "server",
    "starlette": "server",
    "uvicorn": "server",
    "numpy": "server",
    "pyarrow": "learn",
    "safetensors": "learn",
    "torch": "learn",
}


def guard(work: Callable[[], None]) -> int:
    """Runs `work` and returns the exit code; a bug's traceback is let through."""
    try:
        work()
        sys.stdout.flush()
    except typer.Exit as exit_:
        return exit_.exit_code
    except TyperException as error:
        return _wrong_call(error)
    except Error as error:
        return _say(error.message, error.hint, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", "run it again to go on", INTERRUPTED)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        hint = f'install it with: pip install "firsthand[{extra}]"'
        return _say(f"this command needs {error.name}, which is not installed", hint, FAILED)
    except OSError as error:
        if _stdout_is_broken() and isinstance(error, BrokenPipeError):
            return FAILED  # the reader is gone, as after "| head"
        what = (error.strerror or str(error) or type(error).__name__).lower()
        where = f": {error.filename}" if error.filename else ""
        return _say(f"{what}{where}", HINTS.get(error.errno or 0, ""), FAILED)
    return 0


def _say(message: str, hint: str, code: int) -> int:
    print(f"firsthand: error: {message}", file=sys.stderr)
    if hint:
        print(f"firsthand: hint: {hint}", file=sys.stderr)
    return code


def _wrong_call(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "firsthand"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return error.exit_code
    message = " ".join(error.format_message().split()).rstrip(".")
    return _say(
        message[:1].lower() + message[1:], f'see "{command} --help"', getattr(error, "exit_code", 2)
    )


def _stdout_is_broken() -> bool:
    """Whether stdout itself failed, and not some socket or file; then nothing more goes there."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more at exit, and would complain there and end with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
