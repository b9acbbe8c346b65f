"""How a sender fares: what waits for it, what it tried lately, and what it was answered."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement

DAYS = 7
EXECUTIONS_MAX = 20
"""The newest executions of a brand that are looked at."""
EVENTS_OF_EACH_MAX = 5_000
"""Answers of each that are looked at."""
ANSWERS_MAX = 20


class Sql(QuerySet, file="sender_health.sql", package=__package__):
    recent: Statement
    waiting: Statement
    answers: Statement


class SenderAnswer(msgspec.Struct, frozen=True):
    """One answer in the provider's own words, and how often it stands in the sample."""

    kind: str
    answer: str
    times: int
    last_at: datetime


class SenderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a sender fares.

    `waiting`: sends in chunks that are not done. `tried` and `lost`: sends of its waves in the newest 20 executions of the last
    seven days, each try counted, and those of which nobody knows what became. `answers`: of a sample of their events, the newest
    kinds first.
    """

    waiting: int
    tried: int
    lost: int
    last_at: datetime | None
    answers: list[SenderAnswer]

    @property
    def errors(self) -> int:
        """Answers in the sample that were no yes."""
        return sum(one.times for one in self.answers if one.kind != "accepted")

    @property
    def sampled(self) -> int:
        """Answers in the sample."""
        return sum(one.times for one in self.answers)


class _Tried(msgspec.Struct, frozen=True):
    id: UUID
    last_at: datetime
    tried: int
    lost: int


class SenderHealthService:
    """Looks at how senders fare. Nothing is found for a sender that is not the brand's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, brand_id: UUID, sender_id: UUID) -> SenderHealth:
        """How the sender fares now."""
        async with self._db.read() as conn:
            recent = await Sql.recent.rows(
                conn, _Tried, brand_id=brand_id, sender_id=sender_id, days=DAYS, executions=EXECUTIONS_MAX
            )
            waiting = await Sql.waiting.value(conn, brand_id=brand_id, sender_id=sender_id)
            answers = await Sql.answers.rows(
                conn,
                SenderAnswer,
                brand_id=brand_id,
                sender_id=sender_id,
                execution_ids=[one.id for one in recent],
                each=EVENTS_OF_EACH_MAX,
                limit=ANSWERS_MAX,
            )
        return SenderHealth(
            waiting=waiting,
            tried=sum(one.tried for one in recent),
            lost=sum(one.lost for one in recent),
            last_at=max((one.last_at for one in recent), default=None),
            answers=answers,
        )
