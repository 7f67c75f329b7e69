"""Command line: reads arguments, calls the library, prints the outcome."""

import sys


def main() -> None:
    """Run the command `slimgen` and exit with its status."""
    try:
        from slimgen.cli.endings import ending
    except KeyboardInterrupt:  # from there on, signals are listened to
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    with ending("error"):
        from slimgen.cli.app import app  # takes a moment, in which a signal may come, too

        app(prog_name="slimgen")
