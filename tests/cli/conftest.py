"""Commands on a database of the test's own."""

import pytest

from command_line import Command, run_stentor


@pytest.fixture
def command(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `stentor` with the arguments given, on the test's database."""
    monkeypatch.setenv("STENTOR_DATABASE_URL", database_dsn)
    monkeypatch.setenv("STENTOR_SECRET", "a secret for tests that is long enough")
    return run_stentor
