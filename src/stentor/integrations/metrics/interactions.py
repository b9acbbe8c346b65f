"""Who did something on a day, as a partner tells it: thousands of people in one call, and the same call perhaps again."""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from stentor.audience.upsert import until_settled
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.errors import Invalid, TooLarge
from stentor.failpoints import failpoint
from stentor.integrations.metrics import store
from stentor.integrations.metrics.checking import Named, found
from stentor.integrations.metrics.facts import Fact, enter
from stentor.integrations.metrics.model import GROUPS_MAX, PEOPLE_MAX, FactKind, Interaction, Run, Told
from stentor.integrations.metrics.store import Call
from stentor.report.partner_facts import PartnerFact
from stentor.report.provider_events import history_id

# A partner's day begins elsewhere.
_DAY = timedelta(days=1)


class InteractionService:
    """Takes interactions in. Calls are counted as often as they come; each person has a fact of the day once."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def report(
        self, brand_id: UUID, said: Interaction, *, actor: str, channels: Collection[int] | None = None
    ) -> Told:
        """Enters what happened in the people's histories; an opt-out, a bounce and a complaint hold at once.

        People whom nothing was sent to are counted and passed over. `actor` is who says it, for the ledger; `channels` as
        `checking.found`. Raises TooLarge for more than 10,000 people, and Invalid for an unknown execution, channel, template or
        event, for a group above 100, and for a day before the execution or after tomorrow.
        """
        if len(said.customers) > PEOPLE_MAX:
            raise TooLarge(f"{len(said.customers)} customers in one call; at most {PEOPLE_MAX}. Send them in parts.")
        kind = self._kind(said)
        people = list(dict.fromkeys(_ids(brand_id, said.customers)))

        async def work(conn: Connection) -> Told:
            runs = await found(conn, brand_id, channels, [Named(said.campaign, said.channel, said.template)], noun="")
            run = runs[said.campaign]
            at = self._at(said.day, run)
            facts = [] if kind is FactKind.OTHER else _facts(said, run, kind, at, people)
            entered = await enter(conn, brand_id, facts, actor=actor)
            unknown = len(entered.unknown) + len(set(said.customers)) - len(people)
            call = Call(
                run.execution_id,
                said.channel,
                said.template,
                kind,
                said.day,
                said.group,
                customers=len(said.customers),
                unknown=unknown,
            )
            await store.count_call(conn, brand_id, call)
            failpoint("interactions.before_commit")
            return Told(len(said.customers), entered.added, len(said.customers) - entered.added - unknown, unknown)

        told = await until_settled(self._db, work)
        failpoint("interactions.after_commit")
        return told

    def _kind(self, said: Interaction) -> FactKind:
        if not 0 <= said.group <= GROUPS_MAX:
            raise Invalid.field("/group", "out-of-range", f"A group of recipients is a number from 0 to {GROUPS_MAX}.")
        if said.day > self._clock.now().date() + _DAY:
            raise Invalid.field("/day", "out-of-range", f"{said.day} is not there yet. Tell it when it has happened.")
        try:
            return FactKind.of_number(said.event)
        except ValueError:
            raise Invalid.field(
                "/event", "unknown-event", f"There is no event {said.event}; there are 0 to 9."
            ) from None

    def _at(self, day: date, run: Run) -> datetime:
        """The day's beginning in UTC, and not before the execution went out: the same however often it is told."""
        if day < run.published_at.date() - _DAY:
            text = f"Campaign {run.number} went out on {run.published_at:%Y-%m-%d}; nobody met it on {day}."
            raise Invalid.field("/day", "out-of-range", text)
        return max(datetime.combine(day, time(), UTC), run.published_at)


def _ids(brand_id: UUID, external_ids: list[str]) -> Iterator[UUID]:
    """The people of these external ids; what is none, is nobody."""
    for external_id in external_ids:
        try:
            yield customer_id(brand_id, external_id)
        except ValueError:
            continue


def _facts(said: Interaction, run: Run, kind: FactKind, at: datetime, people: list[UUID]) -> list[Fact]:
    event_id = history_id(f"partner/{said.channel}/{said.template}/{kind.label}/{said.day}", at)
    channel = run.channels[said.channel]
    return [
        Fact(
            kind,
            PartnerFact(
                run.execution_id,
                person,
                event_id,
                at,
                channel,
                kind.label,
                "",
                said.channel,
                said.template,
                said.group,
            ),
        )
        for person in people
    ]
