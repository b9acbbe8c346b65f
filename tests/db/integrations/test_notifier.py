"""The notifier's role, and where its connections may lead."""

import asyncio
import socket
from collections.abc import Sequence
from time import monotonic

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from listener_world import SECRETS, Hub, delivering, later, url_of
from stentor.channels.outbound import Outbound
from stentor.db.pool import Database
from stentor.integrations.listeners.delivery import RETRY_AFTER_S, NoticeDelivery
from stentor.integrations.listeners.posting import Poster
from stentor.integrations.listeners.service import ListenerService
from stentor.testing.http_script import Fault
from stentor.testing.http_sink import HttpProvider
from stentor.worker.notifier import NotifierRole

pytestmark = pytest.mark.anyio

LEAVES_WITHIN_S = 1.0


class Rebinding(AbstractResolver):
    """A name server with another answer each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self._answers.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None: ...


async def test_a_publication_is_told_within_a_second_beside_a_listener_that_hangs(db: Database):
    hub = await Hub.made(db)
    poster = Poster(Outbound(allow_loopback=True))
    role = NotifierRole(
        NoticeDelivery(db, SECRETS, poster, sends_mail=False), {"teller": hub.teller.tell}, poster.aclose
    )
    stop = asyncio.Event()
    async with HttpProvider([Fault(held=True)]) as hanging, HttpProvider() as well:
        await hub.listen(1, url_of(hanging), 505)
        await hub.listen(1, url_of(well), 506)
        running = asyncio.create_task(role.run(stop))
        for number in (1, 2):
            begun = monotonic()
            await hub.published(number, [505, 506])
            async with asyncio.timeout(5):
                while len(well.record.requests) < number:
                    await asyncio.wait([running], timeout=0.01)
            took = monotonic() - begun
            assert took < LEAVES_WITHIN_S
        async with asyncio.timeout(5):
            while len(hanging.record.requests) < 2:
                await asyncio.wait([running], timeout=0.01)
        stop.set()
        hanging.record.release()
        await running

    assert await hub.rows("SELECT outcome, count(*) FROM notice GROUP BY 1") == [("delivered", 4)]


@pytest.mark.fault("S3")
async def test_a_name_is_looked_up_at_each_try_and_one_forbidden_answer_is_enough(db: Database):
    hub = await Hub.made(db)
    names = Rebinding(["10.1.2.3"], ["127.0.0.1", "169.254.169.254"], ["127.0.0.1"])
    async with HttpProvider() as far:
        hub.listeners = ListenerService(db, SECRETS, Outbound(allow_private_networks=True))
        listener = await hub.listen(1, f"http://rebinding.example:{far.port}/")
        await hub.published(1)
        await hub.teller.tell()
        async with delivering(db, outbound=Outbound(allow_loopback=True), resolver=names) as mail:
            answers: list[str] = []
            for wait_s in (0, *RETRY_AFTER_S[:2]):
                later(db, seconds=wait_s * 1.2)
                await mail.round()
                answers.append((await hub.listeners.get(hub.brand_id, listener.id)).answer)

    assert "private network" in answers[0]
    assert "no sender may reach" in answers[1]
    assert answers[2].startswith("200")
    assert len(far.record.requests) == 1


@pytest.mark.fault("S3")
async def test_what_was_registered_under_other_rules_is_not_posted_to(db: Database):
    hub = await Hub.made(db)
    async with HttpProvider() as far:
        listener = await hub.listen(1, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        async with delivering(db, outbound=Outbound()) as mail:
            await mail.all()
        (refused,) = await hub.listeners.notices(hub.brand_id, listener.id)
        assert not far.record.requests
        later(db, seconds=RETRY_AFTER_S[0] * 2)
        async with delivering(db) as mail:
            await mail.all()

    assert (refused.status, "this machine" in refused.answer) == (None, True)
    assert len(far.record.requests) == 1
