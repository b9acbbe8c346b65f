"""A planner and a deliverer that a test drives by hand, with a channel whose answers it chooses."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.campaigns.model import Publication
from stentor.campaigns.sources import PublicationSource
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.contract import Accepted, Channel, Message, Outcome, Wave
from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.deliver import store as deliver
from stentor.deliver.journals import Journals
from stentor.domain.ids import SendIds
from stentor.domain.links import LinkSigner
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.casting import Caster
from stentor.executions.composing import BoundRenderer, Composer, Renderers
from stentor.executions.experiments import ExperimentService
from stentor.executions.facts import FactsSource
from stentor.executions.pipeline import Deliverer
from stentor.executions.planning import Planner
from stentor.executions.quieting import QuietSource
from stentor.executions.service import ExecutionService
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes, IndexFiles
from stentor.queue.floors import Floors

_KEY = b"a key for tests that is long enough to be one"
_WAVES_AT_ONCE = 2


class PlainMessage(msgspec.Struct, frozen=True):
    """A message of one line, with what the sandbox asks of one."""

    send_id: str
    address: str
    text: str
    subject: str = "News"
    skeleton_id: bytes = b"plain"

    def wire(self) -> bytes:
        return self.text.encode()

    def skeleton_content(self) -> bytes:
        return b""

    def parts(self) -> bytes:
        return self.wire()


# ruff: noqa: ARG002 - the seams' signatures are given; what a plain message ignores stays unused
class PlainRenderers:
    """Renders every message as `external id: language, unsubscribe url`."""

    def bind(
        self,
        publication: Publication,
        channel: ChannelKind,
        variant: int,
        context_id: UUID | None,
        context: Mapping[str, Any],
    ) -> BoundRenderer:
        _, wording = publication.content.wording(channel, variant)
        return _Plain(wording.language)


class _Plain:
    def __init__(self, language: str) -> None:
        self._language = language

    def render(
        self, customer: Mapping[str, Any], *, send_id: str, address: str, unsubscribe_url: str, at: datetime
    ) -> Message:
        return PlainMessage(send_id, address, f"{customer['external_id']}: {self._language}, {unsubscribe_url}")


class NoFiles:
    """Where the files of opt-out lists would lie: none have any."""

    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        raise FileNotFoundError(name)


NO_FILES = NoFiles()


class ScriptedChannel:
    """A channel that answers each message as told, and keeps what it was given."""

    def __init__(self, answer: Callable[[Message], Outcome] = lambda _message: Accepted()) -> None:
        self.answer = answer
        self.taken: list[Message] = []
        self.on_wave: Callable[[Wave], None] = lambda _wave: None

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.on_wave(wave)
        self.taken += messages
        return [self.answer(message) for message in messages]

    async def aclose(self) -> None:
        return None

    @property
    def addresses(self) -> list[str]:
        """Where messages went, in their order."""
        return [message.address for message in self.taken]


class Engine:
    """The flow of one process: plans and delivers when asked to. Its clock is right unless another is given."""

    def __init__(
        self,
        db: Database,
        channel: Channel,
        *,
        worker: str = "worker-1",
        clock: Clock | None = None,
        renderers: Renderers | None = None,
        data: Path | None = None,
        lists: IndexFiles = NO_FILES,
    ) -> None:
        """`data`: the directory in which its journal lies; without one it keeps none, and finds nobody's.

        `lists`: where the files of opt-out lists lie.
        """
        self._db = db
        self.look_up = LookUp(Indexes(lists))
        self.journals = None if data is None else Journals(data)
        self.journal = None if self.journals is None else self.journals.open(worker, waves=_WAVES_AT_ONCE)
        publications = PublicationSource(db)
        self.composer = Composer(
            renderers or PlainRenderers(), SendIds(_KEY), LinkSigner(_KEY), public_url="https://brand.example"
        )
        brands = BrandDirectory(db)
        quiet = QuietSource(brands)
        self.planner = Planner(db, publications, quiet)
        self.caster = Caster(db, publications)
        self.deliverer = Deliverer(
            db,
            brands=brands,
            senders=SenderSource(db),
            channels=OpenChannels(db, SecretBox(_KEY[:32]), channel, Outbound()),
            facts=FactsSource(publications),
            composer=self.composer,
            quiet=quiet,
            look_up=self.look_up,
            clock=clock or Clock(),
            worker=worker,
            journals=self.journals,
            journal=self.journal,
        )
        self.experiments = ExperimentService(db, publications)
        self.executions = ExecutionService(db, publications, self.composer, quiet, self.look_up)

    async def plan(self) -> int:
        """Plans until nothing is left; returns how many steps that took."""
        steps = 0
        while await self.caster.cast_next() or await self.caster.cast_next_alone() or await self.planner.plan_next():
            steps += 1
        return steps

    async def deliver(self) -> int:
        """Delivers until nothing is due; returns how many claims that took."""
        claims = 0
        while claim := await self.deliverer.claim():
            await self.deliverer.deliver(claim, stop=asyncio.Event())
            claims += 1
        return claims

    async def deliver_beside_others(self) -> None:
        """Delivers until nothing is due for anybody: what another worker is just claiming looks as if there were nothing."""
        while await self._anything_due():
            await self.deliver()

    async def _anything_due(self) -> bool:
        async with self._db.read() as conn:
            return await deliver.anything_due(conn, Floors())

    async def drain(self) -> None:
        """Plans and delivers until nothing is left to do now."""
        while await self.plan() + await self.deliver():
            continue
