"""The sandbox: it takes every message, keeps it to be looked at, and nobody outside ever sees it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from uuid import UUID

from stentor.channels.contract import Deferred, Message, NotSent, Outcome, Wave
from stentor.channels.sandbox import store
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.model import ChaosRule, SandboxMessage
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.failpoints import failpoint

if TYPE_CHECKING:
    from stentor.channels.sandbox.chaos import Chaos

# Within the two minutes that the inbox keeps a skeleton after its last use, with room for a slow transaction.
SKELETON_KNOWN_S = 30.0
SKELETONS_KNOWN_MAX = 10_000

_TOO_OLD = NotSent("the wave's guard is too old")
_CLOSED = NotSent("the sandbox is closing")
_DIGEST = {
    ChannelKind.EMAIL: email_digest,
    ChannelKind.SMS: phone_digest,
    ChannelKind.VOICE: phone_digest,
    ChannelKind.WHATSAPP: phone_digest,
}
_REPORT = {
    "bounce": ("bounced", "550 5.1.1 bounced, as the sandbox's chaos setting asks"),
    "complain": ("complained", "complained about, as the sandbox's chaos setting asks"),
    "delay": ("delivered", "delivered late, as the sandbox's chaos setting asks"),
    "open": ("opened", ""),
    "click": ("clicked", ""),
}
_IN_THEIR_WORDS = {"reply": "replied", "answer": "answered"}


def _reported(rule: ChaosRule) -> tuple[str, str]:
    """The kind of event and what is said in it."""
    said = _IN_THEIR_WORDS.get(rule.effect)
    return _REPORT[rule.effect] if said is None else (said, rule.text)


class SandboxChannel:
    """A channel and recorder: `hand_over` decides, `record` stores what was accepted with the settling of its wave.

    The messages that it is given are `SandboxMessage`s. Skeletons are stored by `hand_over`, in a transaction of their
    own: one that was rolled back with a wave would be missing from every message after it.
    """

    def __init__(self, db: Database, chaos: ChaosSource) -> None:
        self._db = db
        self._source = chaos
        # What `record` goes by, too: it holds a connection and must not wait for another.
        self._present: dict[UUID, Chaos] = {}
        self._known: dict[tuple[UUID, bytes], float] = {}
        self._closed = False

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        """One outcome for each, in their order. When the database does not answer, all are deferred."""
        if self._closed:
            return [_CLOSED] * len(messages)
        try:
            chaos = self._present[wave.brand_id] = await self._source.load(wave.brand_id)
            await self._keep_skeletons(wave.brand_id, cast("Sequence[SandboxMessage]", messages))
        except Unavailable as outage:
            return [Deferred(outage.detail, sender_wide=True)] * len(messages)
        outcomes: list[Outcome] = []
        for message in messages:
            if not wave.may_start():
                outcomes += [_TOO_OLD] * (len(messages) - len(outcomes))
                break
            outcomes.append(chaos.on_hand_over(message.address))
        return outcomes

    async def record(self, conn: Connection, wave: Wave, accepted: Sequence[Message]) -> None:
        """Stores the accepted messages, and what the brand's chaos setting will have reported about them."""
        if not accepted:
            return
        messages = cast("Sequence[SandboxMessage]", accepted)
        await store.keep_messages(conn, wave.brand_id, wave.kind, messages)
        chaos = self._present[wave.brand_id]
        if not chaos.reports_afterwards:
            return
        digest = _DIGEST.get(wave.kind)
        reports = [
            store.LaterReport(message.send_id, digest(message.address) if digest else None, kind, rule.after_s, answer)
            for message in messages
            if (rule := chaos.afterwards(message.address))
            for kind, answer in [_reported(rule)]
        ]
        if reports:
            await store.report_later(conn, wave.brand_id, wave.kind, reports)

    async def aclose(self) -> None:
        """Takes nothing more."""
        self._closed = True

    async def _keep_skeletons(self, brand_id: UUID, messages: Sequence[SandboxMessage]) -> None:
        now = boottime_s()
        ids = {message.skeleton_id: message for message in messages}
        unknown = {
            skeleton_id: message.skeleton_content()
            for skeleton_id, message in ids.items()
            if self._known.get((brand_id, skeleton_id), 0.0) < now
        }
        if not unknown:
            return
        async with self._db.transaction() as conn:
            await store.keep_skeletons(conn, brand_id, unknown)
            failpoint("skeletons.before_commit")
        failpoint("skeletons.after_commit")
        if len(self._known) + len(unknown) > SKELETONS_KNOWN_MAX:
            self._known.clear()
        self._known.update(dict.fromkeys(((brand_id, skeleton_id) for skeleton_id in unknown), now + SKELETON_KNOWN_S))
