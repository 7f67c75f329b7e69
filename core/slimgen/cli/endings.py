"""End of a command: one line on stderr for an error, and an exit status that says who can fix it."""

import atexit
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import slimgen
from slimgen.addresses import scrubbed
from slimgen.cli.options import leading
from slimgen.cli.streams import open_streams, unsaid
from slimgen.errors import SlimgenError, printable, reason
from slimgen.shortage import ShortageError, shortage
from slimgen.stopping import Stopped, leave_at_once, listening, stopped

FAULT, BUG = 2, 1
"""Exit statuses: of errors that users can fix, and of bugs in slimgen."""
GO_ON = "run the same command again to go on"
EXTRAS = {"dvc": "dvc", "kfp": "kubeflow", "kubernetes": "kubeflow"}
"""Packages that only some commands need, and the extra of slimgen that installs each."""
ANSWERS = ("recipes", "spaces", "profile", "compare", "data list", "data check")
"""Commands whose output is their result; all others write theirs to files."""


@contextmanager
def ending(name: str) -> Iterator[None]:
    """Yield to the loading and running of a command line, and end the process whatever happens there.

    Args:
        name: first word of the line about an error.

    Raises:
        SystemExit: always, with the exit status.
    """
    open_streams()
    status = 0
    with listening():
        try:
            yield
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else FAULT if end.code else 0
            if status and stopped() not in (0, status):  # typer ended the command itself, with less information
                status = tell(Stopped(stopped() - 128), name)
        except BaseException as error:
            if debugging() and isinstance(error, Exception):
                raise
            status = tell(error, name)
    atexit.register(leave_at_once)
    raise SystemExit(status or _unsaid())


def debugging() -> bool:
    """Return whether errors are shown with their tracebacks."""
    return bool(os.environ.get("SLIMGEN_DEBUG")) or "--debug" in sys.argv[1:]


def tell(error: BaseException, name: str = "error") -> int:
    """Print the reason why a command ended as one line, and return the exit status."""
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        said = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        after = "\n" if sys.stderr.isatty() else ""  # the ^C that a terminal shows
        if leading():  # one of several processes prints it
            print(f"{after}{said}; {GO_ON}", file=sys.stderr)
        return 128 + number
    mendable = _mendable(error)
    if mendable is not None:
        print(f"{name}: {mendable}", file=sys.stderr)
        return FAULT
    what = printable(scrubbed(f"{type(error).__name__}: {reason(error)}"))
    print(f"{name}: a fault in slimgen, or in code that it calls: {what}; {_report(error)}", file=sys.stderr)
    return BUG


def _mendable(error: BaseException) -> SlimgenError | None:
    """Return the error that ended a command if the user can fix it, else None."""
    if isinstance(error, ShortageError):
        return error
    if isinstance(error, SystemExit):
        # Commands return. Only foreign code exits here, and whatever its status, the work is not done.
        return SlimgenError("code that slimgen calls must return", f"sys.exit({error.code!r}) in {_place(error)}")
    short = shortage(error, "this command")
    if short is not None:
        return short
    if isinstance(error, OSError):
        return SlimgenError("files must be readable and writable", error)
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get(str(error.name).partition(".")[0])):
        hint = f"pip install 'slimgen[{extra}]' installs it"
        return SlimgenError(f"{error.name} must be installed for this command", "no such package", hint)
    return error if isinstance(error, SlimgenError) else None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "it"


def _report(error: BaseException) -> str:
    """Write the facts that a developer needs to a file, and print its path."""
    about = f"slimgen {slimgen.__version__}, Python {sys.version}\n{scrubbed(' '.join(sys.argv))}\n\n"
    try:
        handle, path = tempfile.mkstemp(prefix="slimgen-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(about + scrubbed("".join(traceback.format_exception(error))))
    except OSError:
        return "please report what `slimgen --debug` shows of it"
    return f"please report it with {path}"


def _unsaid() -> int:
    """Print what stdout could not take; if the command has no other result, that is an error."""
    fault = unsaid()
    if fault is None:
        return 0
    answers = " ".join(sys.argv[1:3]).startswith(ANSWERS)
    kind = "error" if answers else "warning"
    print(f"{kind}: only a part of the output reached stdout; {fault}", file=sys.stderr)
    return FAULT if answers else 0
