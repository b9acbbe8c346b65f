"""A brand whose people are erased, and the log of that beside its storage."""

from pathlib import Path

import pytest

from erasure_world import Erasing
from stentor.db.pool import Database


@pytest.fixture
async def erasing(db: Database, tmp_path: Path) -> Erasing:
    return await Erasing.made(db, tmp_path / "lists")
