"""`python -m decathlon` is the command."""

from decathlon.cli.main import main

if __name__ == "__main__":
    main()
