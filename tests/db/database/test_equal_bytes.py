import pytest

from stentor.db.equal_bytes import EqualBytes
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("values", [[], [b"\0" * 16], [bytes([number % 256]) * 16 for number in range(10_000)]])
async def test_values_of_one_length_arrive_as_an_array(db: Database, values: list[bytes]):
    async with db.read() as conn:
        cursor = await conn.execute("SELECT unnest(%s::bytea[])", [EqualBytes(values)])
        arrived = [row[0] for row in await cursor.fetchall()]

    assert arrived == values
