"""``python -m chattn_nas``: the console command."""

from chattn_nas.cli import main

if __name__ == "__main__":
    main()
