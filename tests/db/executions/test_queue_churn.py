"""The queue churns, and somebody who reads for long keeps the database from tidying up."""

from statistics import median

import pytest

from churn import claims_beside_a_reader
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio

ROUNDS = 30
# Ten times what it takes on two busy cores.
CLAIM_S_MAX = 0.06


@pytest.mark.fault("F26")
async def test_claims_stay_quick_beside_somebody_who_reads_for_long(db: Database):
    took_s = await claims_beside_a_reader(db, ROUNDS)

    assert median(took_s[-10:]) < CLAIM_S_MAX
