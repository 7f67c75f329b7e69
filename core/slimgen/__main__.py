"""`python -m slimgen` is `slimgen`."""

from slimgen.cli import main

if __name__ == "__main__":
    main()
