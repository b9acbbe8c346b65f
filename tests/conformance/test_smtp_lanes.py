"""On connections that a blast has filled, what cannot wait goes before what has not left yet."""

import asyncio

import pytest

from stentor.domain.vocabulary import Lane
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import At, Fault
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_messages_of_an_earlier_lane_leave_before_those_that_wait():
    faults = [Fault(at=At.FINAL, to="bulk0@", held=True)]
    async with (
        FaultyServer(faults) as server,
        local_channel(server.port, connections_max=1, in_flight_max=1) as channel,
    ):

        def given(lane: Lane) -> asyncio.Task[object]:
            messages = [mail(number, f"{lane.label}{number}@example.com") for number in range(3)]
            return asyncio.create_task(channel.hand_over(wave_of(lane=lane), messages))

        async def is_held() -> bool:
            return server.record.holding > 0

        waves = [given(Lane.BULK)]
        await eventually(is_held)
        waves += [given(Lane.ALERT), given(Lane.TRANSACTIONAL)]
        await asyncio.sleep(0)
        server.record.release()
        await asyncio.gather(*waves)

    lanes = [address[: address.index("@") - 1] for address in server.record.recipients]
    assert lanes == ["bulk", *["transactional"] * 3, *["alert"] * 3, *["bulk"] * 2]
