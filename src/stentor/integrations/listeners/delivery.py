"""Delivering notices: claimed with a lease, posted once each with the same bytes, tried again for three days, then given up.

Each listener has few requests on their way at once, and one alone while it fails: whoever hangs keeps itself waiting.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from stentor.accounts.audit import record
from stentor.accounts.letters import write_to
from stentor.channels.webhook.settings import WebhookSettings, place_of
from stentor.channels.webhook.signing import Signer, keys_of
from stentor.channels.webhook.verdicts import Reply, answered, printable
from stentor.clock import Clock
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Invalid
from stentor.failpoints import failpoint
from stentor.integrations.listeners import store
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX, NOTICES_KEPT_MAX, webhook_id_of
from stentor.integrations.listeners.posting import Poster, Unanswered
from stentor.integrations.listeners.signing_secrets import BOTH_FOR, SigningSecrets

TIMEOUT_S = 15.0
AT_ONCE_MAX = 4
"""Requests on their way to one listener; one while it fails."""

BRAND_AT_ONCE_MAX = 40
"""Requests on their way to all listeners of one brand: many that hang leave room for those of the others."""

REST = timedelta(seconds=5)
"""How long a listener is left alone after it failed; then for as long as it has been failing, up to `REST_S_MAX`, until it says yes."""
REST_S_MAX = 300

LEASE = timedelta(seconds=60)
RETRY_AFTER_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The waits between the tries, as Standard Webhooks proposes them; with the first at once these are ten in 75 hours."""
JITTER = 0.1
"""A wait is longer or shorter by up to this share, so that what failed together does not come back together."""

DISABLED_AFTER = timedelta(days=3)
"""A listener that failed for so long without one yes is switched off."""

OWNERS_TOLD_MAX = 50
_READY_MAX = 100
_FORGOTTEN_AT_ONCE = 5_000
_GONE = 410

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="delivery.sql", package=__package__):
    anything_due: Statement
    lock_ready: Statement
    note_served: Statement
    take: Statement
    withdraw: Statement
    end_notice: Statement
    put_off: Statement
    note_yes: Statement
    note_no: Statement
    owners: Statement
    forget_old: Statement
    forget_surplus: Statement


class Claimed(msgspec.Struct, frozen=True):
    """A notice that this process has for the length of the lease, and where it goes."""

    id: UUID
    brand_id: UUID
    listener_id: UUID
    client_id: UUID
    event: str
    body: str
    tries: int
    url: str
    generation: int
    is_new: bool


class Answer(msgspec.Struct, frozen=True):
    """What a listener said, in words; `status` is None where it said nothing.

    `retry_after_s` is its own wish, and `pauses` says that it is meant for all that waits for it.
    """

    words: str
    status: int | None = None
    retry_after_s: float | None = None
    pauses: bool = False

    @property
    def is_yes(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether it says that nobody is there any more, for good."""
        return self.status == _GONE


class NoticeDelivery:
    """Delivers what is due. `sends_mail`: owners get a letter when a listener is switched off."""

    def __init__(
        self,
        db: Database,
        secrets: SigningSecrets,
        poster: Poster,
        *,
        sends_mail: bool,
        rng: random.Random | None = None,
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._poster = poster
        self._sends_mail = sends_mail
        self._rng = rng or random.Random()
        # Receivers compare it with their own clock: never the shifted time of a demo.
        self._clock = Clock()

    async def claim(self, limit: int) -> list[Claimed]:
        """Up to so many notices that are due, for their leases; empty on a restored copy that was not let go.

        What must not be told any more is withdrawn instead: whatever was for a client that was revoked, or is of a channel that it
        executes no longer, and that somebody met a trigger who said no since, or whose run was cancelled or is past its deadline.
        """
        async with self._db.read() as conn:
            if not await Sql.anything_due.value(conn):
                return []
        async with self._db.transaction() as conn:
            few = {"at_once": AT_ONCE_MAX, "of_brand": BRAND_AT_ONCE_MAX}
            ready = await Sql.lock_ready.column(conn, limit=_READY_MAX, **few)
            if not ready:
                return []
            taken = await Sql.take.rows(
                conn, Claimed, listener_ids=ready, lease=LEASE, both_for=BOTH_FOR, limit=limit, **few
            )
            # Who got nothing, because there was no room, is the first the next time.
            await Sql.note_served.run(conn, listener_ids=list({notice.listener_id for notice in taken}))
            withdrawn = await _withdraw(conn, taken)
            failpoint("notices.before_claim")
        failpoint("notices.after_claim")
        return [notice for notice in taken if notice.id not in withdrawn]

    async def deliver(self, notice: Claimed) -> None:
        """Posts the notice and writes down what came of it."""
        answer = await self._posted(notice)
        failpoint("notices.answered")
        async with self._db.transaction() as conn:
            if answer.is_yes:
                await self._delivered(conn, notice, answer)
            else:
                await self._failed(conn, notice, answer)
            failpoint("notices.before_settle")
        failpoint("notices.after_settle")

    async def _posted(self, notice: Claimed) -> Answer:
        body = notice.body.encode()
        secrets = self._secrets.in_use(notice.client_id, notice.generation, is_new=notice.is_new)
        signed = Signer(keys_of(secrets)).headers(webhook_id_of(notice.id), int(self._clock.now().timestamp()), body)
        headers = {**signed, "stentor-event": notice.event, "stentor-brand": str(notice.brand_id)}
        try:
            settings = WebhookSettings(
                url=notice.url, secrets=secrets, connections_max=AT_ONCE_MAX, timeout_s=TIMEOUT_S
            )
            reply = await self._poster.post(notice.listener_id, settings, body, headers)
        except Invalid as broken:
            # What was stored under rules that are stricter by now.
            return Answer(printable(broken.detail))
        except Unanswered as trouble:
            return Answer(printable(str(trouble)))
        return _answer_of(reply)

    async def _delivered(self, conn: Connection, notice: Claimed, answer: Answer) -> None:
        await Sql.end_notice.run(
            conn,
            brand_id=notice.brand_id,
            id=notice.id,
            tries=notice.tries,
            outcome="delivered",
            status=answer.status,
            answer=answer.words,
        )
        await Sql.note_yes.run(conn, brand_id=notice.brand_id, id=notice.listener_id, answer=answer.words)

    async def _failed(self, conn: Connection, notice: Claimed, answer: Answer) -> None:
        said = {"brand_id": notice.brand_id, "id": notice.id, "tries": notice.tries}
        heard = {"status": answer.status, "answer": answer.words}
        if notice.tries > len(RETRY_AFTER_S):
            await Sql.end_notice.run(conn, **said, **heard, outcome="given_up")
        else:
            await Sql.put_off.run(conn, **said, **heard, wait=self._wait(notice.tries, answer))
        pause = timedelta(seconds=answer.retry_after_s or 0) if answer.pauses else None
        failing_s = await Sql.note_no.value(
            conn,
            brand_id=notice.brand_id,
            id=notice.listener_id,
            answer=answer.words,
            pause=pause,
            rest=REST,
            rest_max=timedelta(seconds=REST_S_MAX),
        )
        if failing_s is None:
            return
        log.info(
            "notice.refused", listener=str(notice.listener_id), place=str(place_of(notice.url)), tries=notice.tries
        )
        if answer.is_gone:
            await self._disable(conn, notice, "It answered 410: nobody is there any more.")
        elif failing_s >= DISABLED_AFTER.total_seconds():
            await self._disable(
                conn, notice, f"It failed for {DISABLED_AFTER.days} days without one yes: {answer.words}"
            )

    def _wait(self, tries: int, answer: Answer) -> timedelta:
        spread = self._rng.uniform(1 - JITTER, 1 + JITTER)
        return timedelta(seconds=max(RETRY_AFTER_S[tries - 1] * spread, answer.retry_after_s or 0.0))

    async def _disable(self, conn: Connection, notice: Claimed, why: str) -> None:
        if not await store.disable_listener(conn, notice.brand_id, notice.listener_id, why):
            return
        await record(
            conn, "listener.disabled", notice.listener_id, brand_id=notice.brand_id, after={"disabled_why": why}
        )
        log.warning("listener.disabled", listener=str(notice.listener_id), place=str(place_of(notice.url)))
        if not self._sends_mail:
            return
        for user_id in await Sql.owners.column(conn, brand_id=notice.brand_id, limit=OWNERS_TOLD_MAX):
            await write_to(conn, "listener", notice.listener_id, user_id)


async def forget_notices(db: Database) -> int:
    """Forgets notices that are older than 30 days, and those beyond 100,000 of a listener; the keeper's chore. Returns how many."""

    async def old() -> int:
        async with db.transaction() as conn:
            return await Sql.forget_old.run(conn, days=NOTICE_DAYS_MAX, limit=_FORGOTTEN_AT_ONCE)

    async def surplus() -> int:
        async with db.transaction() as conn:
            return await Sql.forget_surplus.run(conn, kept=NOTICES_KEPT_MAX, limit=_FORGOTTEN_AT_ONCE)

    return await until_short(old, _FORGOTTEN_AT_ONCE) + await until_short(surplus, _FORGOTTEN_AT_ONCE)


async def _withdraw(conn: Connection, taken: Sequence[Claimed]) -> set[UUID]:
    """Ends those of them that must not be told any more, and returns which."""
    withdrawn: set[UUID] = set()
    for brand_id in {notice.brand_id for notice in taken}:
        ids = [notice.id for notice in taken if notice.brand_id == brand_id]
        withdrawn.update(await Sql.withdraw.column(conn, brand_id=brand_id, ids=ids))
    return withdrawn


def _answer_of(reply: Reply) -> Answer:
    words, retry_after_s = answered(reply, datetime.now(UTC))
    is_busy = reply.status in {429, 503} and retry_after_s is not None
    return Answer(words, reply.status, retry_after_s, pauses=is_busy)
