"""The command, `bulkstreams` or `python -m bulkstreams`."""

import signal


def main() -> None:
    """Run the command; until it is there to drain, an interrupt ends us without a word."""
    heeds = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bulkstreams.cli import main as command

    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
