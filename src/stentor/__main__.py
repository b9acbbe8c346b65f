"""`stentor` and `python -m stentor`."""

import os


def main() -> None:
    """Runs the command line. Imported late, so that `--help` does not pay for the server."""
    # numpy packs ids and needs no linear algebra; its BLAS would start a thread per core and spin them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from stentor.cli.app import run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
