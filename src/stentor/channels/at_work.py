"""Senders as workers use them: looked up at most once a second, their channels kept open between waves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import msgspec
import structlog

from stentor.channels import store
from stentor.channels.contract import Channel, Deferred, Message, Outcome, Wave
from stentor.channels.kinds import open_sender
from stentor.channels.model import Sender
from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.errors import NotFound, Problem

KEEP_S = 1.0
ENTRIES_MAX = 10_000

log = structlog.get_logger(__name__)


class SenderSource:
    """Senders by id, as they were at most one second ago."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._remembered = Remembered(self._load, keep_s=KEEP_S, entries_max=ENTRIES_MAX)

    async def load(self, brand_id: UUID, sender_id: UUID) -> Sender:
        """The sender, also when it was deleted meanwhile. Raises NotFound for one that never was this brand's."""
        sender = await self._remembered.get((brand_id, sender_id))
        if sender is None:
            raise NotFound(f"This brand has no sender {sender_id}.")
        return sender

    async def _load(self, key: tuple[UUID, UUID]) -> Sender | None:
        async with self._db.read() as conn:
            return await store.sender_at_work(conn, *key)


class OpenChannels:
    """The channels of this process: one per sender, opened anew when the sender's settings change."""

    def __init__(self, db: Database, secrets: SecretBox, sandbox: Channel, outbound: Outbound) -> None:
        self._db = db
        self._secrets = secrets
        self._sandbox = sandbox
        self._outbound = outbound
        self._kept: dict[UUID, _Kept] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def open_channel(self, sender: Sender) -> AsyncIterator[Channel]:
        """The sender's channel for one wave; it is not closed under a wave that still uses it.

        Never raises for a sender that cannot be opened: its channel then answers each message with why.
        """
        kept = await self._current(sender)
        kept.waves += 1
        try:
            yield kept.channel
        finally:
            kept.waves -= 1
            if kept.retired:
                await self._close_unused(kept)

    async def aclose(self) -> None:
        """Closes all channels; messages on the wire are finished first."""
        channels = {id(kept.channel): kept.channel for kept in self._kept.values()} | {id(self._sandbox): self._sandbox}
        self._kept.clear()
        await asyncio.gather(*(channel.aclose() for channel in channels.values()))

    async def _current(self, sender: Sender) -> "_Kept":
        if (kept := self._kept.get(sender.id)) and kept.serves(sender):
            return kept
        async with self._opening:
            former = self._kept.get(sender.id)
            if former and former.serves(sender):
                return former
            try:
                channel = open_sender(
                    sender, await self._secret(sender), sandbox=self._sandbox, outbound=self._outbound
                )
                kept = _Kept(channel, sender.updated_at)
            except Problem as problem:
                # Not kept: the next wave asks again.
                log.warning("sender.cannot_open", sender=str(sender.id), why=problem.detail)
                return _Kept(_Unopened(problem.detail), sender.updated_at)
            self._kept[sender.id] = kept
            if former:
                former.retired = True
                await self._close_unused(former)
            return kept

    async def _secret(self, sender: Sender) -> str:
        async with self._db.read() as conn:
            sealed = await store.sealed_secret(conn, sender.brand_id, sender.id)
        return self._secrets.open(sender.id, sealed) if sealed else ""

    async def _close_unused(self, kept: "_Kept") -> None:
        if not kept.waves and kept.channel is not self._sandbox:
            await kept.channel.aclose()


class _Kept(msgspec.Struct):
    """An open channel, the state of its sender that it was opened for, and how many waves are using it."""

    channel: Channel
    opened_for: datetime
    waves: int = 0
    retired: bool = False

    def serves(self, sender: Sender) -> bool:
        """Whether it was opened for this state of the sender or a newer one: a wave that comes late brings none back."""
        return self.opened_for >= sender.updated_at


class _Unopened:
    """Stands in for a channel that cannot be opened: nothing is lost, everything is tried again later."""

    def __init__(self, why: str) -> None:
        self._outcome = Deferred(why, sender_wide=True)

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:  # noqa: ARG002 - the contract's
        return [self._outcome] * len(messages)

    async def aclose(self) -> None:
        """Holds nothing."""
