from collections.abc import Sequence

import pytest

from sandbox_letters import SEND_IDS, letter, reassemble
from stentor.channels.contract import Accepted, Message, Outcome, Recorder, Wave
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.sandbox.model import ChaosRule, Effect
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import BRAND_ID, Answer, ChannelSuite

pytestmark = pytest.mark.anyio

EFFECTS: dict[Answer, Effect] = {Answer.DEFER: "defer", Answer.REFUSE: "refuse", Answer.LOSE_REPLY: "drop"}


class SettlingChannel:
    """The sandbox with the settling that a worker does, since only that puts a message into the inbox."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sandbox = SandboxChannel(db, ChaosSource(db))

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = await self._sandbox.hand_over(wave, messages)
        accepted = [one for one, outcome in zip(messages, outcomes, strict=True) if isinstance(outcome, Accepted)]
        async with self._db.transaction() as conn:
            await self._sandbox.record(conn, wave, accepted)
        return outcomes

    async def aclose(self) -> None:
        await self._sandbox.aclose()


class SandboxRig:
    kind = ChannelKind.EMAIL
    answers_known = frozenset(EFFECTS)

    def __init__(self, db: Database) -> None:
        self.channel = SettlingChannel(db)
        self._inbox = InboxService(db, SEND_IDS, reassemble)
        self._rules: list[ChaosRule] = []

    def message(self, number: int, address: str) -> Message:
        # An execution of its own each time: the same person may get several messages in one test.
        return letter(BRAND_ID, address, execution_id=new_id(), subject=f"Number {number}")

    async def set_answer(self, address: str, answer: Answer) -> None:
        self._rules.append(ChaosRule(EFFECTS[answer], recipients=address))
        await self._inbox.set_chaos(BRAND_ID, self._rules)

    async def taken(self) -> Sequence[str]:
        page = await self._inbox.page(BRAND_ID, limit=200)
        return [entry.recipient for entry in reversed(page.entries)]

    async def held(self) -> bool:
        return False

    async def release(self) -> None:
        """Nothing is held."""


class TestSandboxChannel(ChannelSuite):
    @pytest.fixture
    async def rig(self, db: Database) -> SandboxRig:
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO organisation (id, name, created_at) VALUES (%s, 'Org', statement_timestamp())", [BRAND_ID]
            )
            await conn.execute(
                "INSERT INTO brand (id, organisation_id, name, brand_key, created_at, updated_at)"
                " VALUES (%s, %s, 'Brand', %s, statement_timestamp(), statement_timestamp())",
                [BRAND_ID, BRAND_ID, "br_" + "a" * 22],
            )
        return SandboxRig(db)


def test_the_sandbox_is_a_recorder():
    assert issubclass(SandboxChannel, Recorder)
