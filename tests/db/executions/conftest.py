"""The tests of quiet hours choose their time."""

import pytest

from night_world import AtTime, at_times


@pytest.fixture
def at(database_dsn: str) -> AtTime:
    """The test's database, and the world in it, as of another time."""
    return at_times(database_dsn)
