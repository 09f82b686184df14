"""`python -m archiver` and the `archiver` command."""

from archiver.cli import main

if __name__ == "__main__":
    main()
