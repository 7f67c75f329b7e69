"""The command line: it reads arguments, calls the library, and says what came of it."""

import sys


def main() -> None:
    """The entry point of the command `slimgen`; it ends the program."""
    try:
        from slimgen.cli.endings import ending
    except KeyboardInterrupt:  # from there on, signals are listened to
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    with ending("error"):
        from slimgen.cli.app import app  # takes a moment, in which a signal may come, too

        app(prog_name="slimgen")
