import os
from pathlib import Path

import pytest

from stentor.db.locate import default_data_directory, located_database


def test_a_named_database_is_used_as_it_is():
    with located_database("postgresql://somewhere/db") as dsn:
        assert dsn == "postgresql://somewhere/db"


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_roots_data_lies_where_its_database_account_can_get():
    assert default_data_directory() == Path("/var/lib/stentor")


@pytest.mark.skipif(os.geteuid() == 0, reason="is about normal users")
def test_a_users_data_lies_in_their_data_directory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/share")

    assert default_data_directory() == Path("/somewhere/share/stentor")
