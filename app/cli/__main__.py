"""`python -m app.cli`: the same as the script `likewise`."""

from app.cli import main

if __name__ == "__main__":
    main()
