"""``python -m wfstore`` is the command ``wfstore``."""

from wfstore.cli import main

if __name__ == "__main__":
    main()
