"""Entry point of `python -m panloom`."""

from panloom.cli import main

if __name__ == "__main__":
    main()
