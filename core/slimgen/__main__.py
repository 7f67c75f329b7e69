"""Entry point of `python -m slimgen`, the same as `slimgen`."""

from slimgen.cli import main

if __name__ == "__main__":
    main()
