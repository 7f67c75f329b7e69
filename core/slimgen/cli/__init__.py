"""The command line: it reads arguments, calls the library, and says what came of it."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def main() -> "NoReturn":
    """The entry point of the command `slimgen`."""
    try:
        from slimgen.cli.endings import run
    except KeyboardInterrupt:  # from there on, signals are listened to
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    run(_load, "error")


def _load() -> "Callable[[], object]":
    """The command line; importing it takes a moment."""
    from slimgen.cli.app import app

    return lambda: app(prog_name="slimgen")
