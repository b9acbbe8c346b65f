"""The books of a hub and its service about one campaign, and where they differ: by counts while it runs, by people in the end."""

from collections.abc import Collection, Iterator, Mapping
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import SendState

_NAMED_MAX = 5
_SENT, _DROPPED = 0, 5
_DROPPED_FACT = "dropped"
_LEFT_OUT = (SendState.SKIPPED, SendState.FAILED)


class Sql(QuerySet, file="books.sql", package=__package__):
    some_addresses: Statement
    hub_people: Statement
    hub_totals: Statement
    hub_told: Statement
    service_people: Statement
    service_counts: Statement


class HubBooks(msgspec.Struct, frozen=True):
    """What the hub knows of each person, by external id: the state of the send, and the facts that it was told of them."""

    states: Mapping[str, SendState]
    facts: Mapping[str, Collection[str]]
    totals: Mapping[int, int]

    def in_state(self, *states: SendState) -> frozenset[str]:
        """Who is in one of these."""
        return frozenset(name for name, state in self.states.items() if state in states)

    def told_of(self, kind: str) -> frozenset[str]:
        """Of whom it was told that."""
        return frozenset(name for name, kinds in self.facts.items() if kind in kinds)


class ServiceBooks(msgspec.Struct, frozen=True):
    """What the service knows of each person whom the hub named, by external id there; None: no execution has them."""

    states: Mapping[str, SendState | None]
    named: int
    """How many rows it took in; more than there are people if somebody is there twice."""

    def in_state(self, *states: SendState | None) -> frozenset[str]:
        """Who is in one of these."""
        return frozenset(name for name, state in self.states.items() if state in states)

    @property
    def dropped(self) -> frozenset[str]:
        """Who got nothing, and will get nothing."""
        return self.in_state(None, *_LEFT_OUT)


class Counts(msgspec.Struct, frozen=True):
    """How a campaign stands, without people: what each side would say, and whether it says it for good."""

    sent: int
    dropped: int
    told: int
    is_over: bool


async def some_addresses(conn: Connection, brand_id: UUID, *, share: int) -> list[str]:
    """The e-mail addresses of one in `share` of the brand's people."""
    return await Sql.some_addresses.column(conn, brand_id=brand_id, share=share)


async def hub_counts(conn: Connection, brand_id: UUID, execution_id: UUID) -> Counts:
    """What the hub was told in totals, and of how many people."""
    totals = dict(await Sql.hub_totals.tuples(conn, brand_id=brand_id, execution_id=execution_id))
    ((told, is_over),) = await Sql.hub_told.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return Counts(totals.get(_SENT, 0), totals.get(_DROPPED, 0), told, is_over)


async def service_counts(conn: Connection, brand_id: UUID, run_id: UUID) -> Counts:
    """What the service has done, and has to tell."""
    rows = await Sql.service_counts.tuples(conn, brand_id=brand_id, run_id=run_id)
    counts = {SendState(state): count for state, count, _ in rows}
    dropped = sum(counts.get(state, 0) for state in _LEFT_OUT)
    return Counts(
        counts.get(SendState.HANDED_OVER, 0), dropped, dropped, bool(rows) and all(is_over for *_, is_over in rows)
    )


async def hub_books(conn: Connection, brand_id: UUID, execution_id: UUID) -> HubBooks:
    """Everybody of the execution."""
    rows = await Sql.hub_people.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    totals = await Sql.hub_totals.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return HubBooks(
        {name: SendState(state) for name, state, _ in rows},
        {name: facts for name, _, facts in rows if facts},
        dict(totals),
    )


async def service_books(conn: Connection, brand_id: UUID, run_id: UUID) -> ServiceBooks:
    """Everybody of the run."""
    rows = await Sql.service_people.tuples(conn, brand_id=brand_id, run_id=run_id)
    states = {name: None if state is None else SendState(state) for name, state in rows}
    return ServiceBooks(states, len(rows))


def differences(hub: HubBooks, service: ServiceBooks) -> list[str]:
    """Where the two do not say the same, a sentence each, with some of the people; nothing when they agree to the person."""
    handed_over = hub.in_state(SendState.HANDED_OVER)
    return [*_of_people(hub, service, handed_over), *_of_counts(hub, service, handed_over)]


def _of_people(hub: HubBooks, service: ServiceBooks, handed_over: frozenset[str]) -> Iterator[str]:
    told = hub.told_of(_DROPPED_FACT)
    found = {
        "are still pending at the hub": hub.in_state(SendState.PENDING),
        "are still pending at the service": service.in_state(SendState.PENDING),
        "were handed over, and the service does not know them": handed_over - service.states.keys(),
        "are the service's, and the hub did not hand them over": service.states.keys() - handed_over,
        "were dropped, and the hub was not told": service.dropped - told,
        "are dropped at the hub, and not at the service": told - service.dropped,
    }
    for what, people in found.items():
        if people:
            yield f"{len(people)} people {what}: {', '.join(sorted(people)[:_NAMED_MAX])}"


def _of_counts(hub: HubBooks, service: ServiceBooks, handed_over: frozenset[str]) -> Iterator[str]:
    if service.named != len(service.states):
        yield f"{service.named} rows are of {len(service.states)} people"
    sent, dropped = len(service.in_state(SendState.HANDED_OVER)), len(service.dropped)
    if hub.totals.get(_SENT, 0) != sent:
        yield f"{sent} were sent, and the hub was told {hub.totals.get(_SENT, 0)}"
    if hub.totals.get(_DROPPED, 0) != dropped:
        yield f"{dropped} were dropped, and the hub was told {hub.totals.get(_DROPPED, 0)}"
    in_doubt = len(service.in_state(SendState.UNKNOWN))
    if sent + dropped + in_doubt != len(handed_over):
        yield f"{len(handed_over)} were handed over, and {sent} sent, {dropped} dropped, {in_doubt} in doubt"
    repeated = [name for name, kinds in hub.facts.items() if len(kinds) != len(set(kinds))]
    if repeated:
        yield f"{len(repeated)} people have a fact twice: {', '.join(sorted(repeated)[:_NAMED_MAX])}"
