"""`python -m bulkstreams`."""

from bulkstreams.cli import main

if __name__ == "__main__":
    main()
