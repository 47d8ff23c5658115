"""`python -m ticktape` is the command `ticktape`."""

from ticktape.cli import main

if __name__ == "__main__":
    main()
