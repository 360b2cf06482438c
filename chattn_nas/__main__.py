"""The console command: ``chattn-nas``, or ``python -m chattn_nas``."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback even while its modules are imported."""
    try:
        from chattn_nas.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        # If an interrupt has passed through exec, as a dataclass uses it on import, Python kills itself by SIGINT in
        # the end, whatever the exit code; it forgets that at the next exec that succeeds.
        exec("")


if __name__ == "__main__":
    main()
