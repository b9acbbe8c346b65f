"""`stentor` and `python -m stentor`."""


def main() -> None:
    """Runs the command line. Imported late, so that `--help` does not pay for the server."""
    from stentor.cli.app import run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
