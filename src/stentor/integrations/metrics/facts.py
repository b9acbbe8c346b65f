"""Facts that partners tell of people, brought to where they belong: the send's history, the person, the built-in list.

An opt-out is the person's own no to that channel: the flag, and the address that it goes to, as a STOP would do. A bounce or a
complaint bars the address that was written to, as a provider's report does. What was told before moves nothing again, also in
other words, as of another day or another template: whoever came back since then stays, unless they said no again after that.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from uuid import UUID

import msgspec

from stentor.audience import reach
from stentor.audience.consent_store import last_yeses
from stentor.audience.customer_store import survivors_of
from stentor.audience.model import Act, Source
from stentor.audience.refusing import refuse
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.barring import Barred, BarringCause, bar
from stentor.integrations.metrics import store
from stentor.integrations.metrics.model import NO_TEMPLATE, FactKind
from stentor.integrations.metrics.store import Counted
from stentor.report import partner_facts
from stentor.report.partner_facts import PartnerFact, Standing

_CAUSES: dict[FactKind, BarringCause] = {FactKind.BOUNCED: "bounce", FactKind.COMPLAINED: "complaint"}


class Fact(msgspec.Struct, frozen=True):
    """One fact of one person, ready to be told."""

    kind: FactKind
    entry: PartnerFact


class Entered(msgspec.Struct, frozen=True):
    """How many facts are new, and the places of those that are of people whom nothing was sent to."""

    added: int
    unknown: Sequence[int]


async def enter(conn: Connection, brand_id: UUID, facts: Sequence[Fact], *, actor: str) -> Entered:
    """Enters the facts. The executions' books of facts are locked by the caller; `actor` is who told it, for the ledger.

    Raises Overtaken when the whole transaction has to be run again.
    """
    known = {one.place: one for one in await partner_facts.standing(conn, brand_id, [fact.entry for fact in facts])}
    facts = await _with_templates(conn, brand_id, facts, known)
    places = sorted(known)
    entries = [_told(facts[place].entry, known[place]) for place in places]
    new = await partner_facts.tell(conn, brand_id, entries)
    added: dict[int, Fact] = {}
    for place, entry in zip(places, entries, strict=True):
        key = entry.execution_id, entry.customer_id, entry.event_id
        if key in new:
            new.discard(key)
            added[place] = facts[place]
    await store.count_people(conn, brand_id, _first_of(added, known))
    await _bring_to_people(conn, brand_id, added, known, actor)
    return Entered(len(added), [place for place in range(len(facts)) if place not in known])


async def _with_templates(
    conn: Connection, brand_id: UUID, facts: Sequence[Fact], known: Mapping[int, Standing]
) -> Sequence[Fact]:
    """The facts; those that name no template have the one by which their person was written to."""
    unnamed = {place for place in known if facts[place].entry.template == NO_TEMPLATE}
    if not unnamed:
        return facts
    templates = await store.sent_templates(conn, brand_id, {facts[place].entry.execution_id for place in unnamed})

    def named(fact: Fact, variant: int) -> Fact:
        entry = fact.entry
        template = templates.get((entry.execution_id, entry.number, variant), NO_TEMPLATE)
        return Fact(fact.kind, entry._replace(template=template))

    return [named(fact, known[place].variant) if place in unnamed else fact for place, fact in enumerate(facts)]


def _told(entry: PartnerFact, standing: Standing) -> PartnerFact:
    return entry if standing.may_have_words or not entry.answer else entry._replace(answer="")


def _first_of(added: Mapping[int, Fact], known: Mapping[int, Standing]) -> Counter[Counted]:
    """The people of whom something of that kind was told for the first time."""
    people = Counter[Counted]()
    seen: set[tuple[UUID, UUID, int, FactKind]] = set()
    for place, fact in added.items():
        entry = fact.entry
        person = (entry.execution_id, entry.customer_id, entry.number, fact.kind)
        if known[place].is_first and person not in seen:
            seen.add(person)
            people[Counted(entry.execution_id, entry.number, entry.template, fact.kind)] += 1
    return people


async def _bring_to_people(
    conn: Connection, brand_id: UUID, added: Mapping[int, Fact], known: Mapping[int, Standing], actor: str
) -> None:
    bounds = {place: fact for place, fact in added.items() if fact.kind in _CAUSES and known[place].is_first}
    said_no = {place: fact.entry for place, fact in added.items() if fact.kind is FactKind.UNSUBSCRIBED}
    refusals = [entry for place, entry in said_no.items() if known[place].is_first]
    if again := [entry for place, entry in said_no.items() if not known[place].is_first]:
        refusals += await _said_after_a_yes(conn, brand_id, again)
    if not bounds and not refusals:
        return
    people = {fact.entry.customer_id for fact in bounds.values()} | {entry.customer_id for entry in refusals}
    merged = await survivors_of(conn, brand_id, people)
    # All at once and in their order: what follows locks some of them again, channel by channel.
    await reach.lock(conn, brand_id, {merged.get(person, person) for person in people})
    by_channel = sorted(bounds, key=lambda place: bounds[place].entry.channel)
    for channel, told in groupby(by_channel, key=lambda place: bounds[place].entry.channel):
        barred = [(bounds[place], known[place]) for place in told]
        await bar(conn, brand_id, channel, await _barred(conn, brand_id, channel, barred, merged))
    for (channel, number), refusing in _by_channel(refusals).items():
        act = Act(source=Source.PARTNER, actor=actor, note=f"by channel {number}")
        await refuse(conn, brand_id, refusing, channel.bit, act, cause="unsubscribe")


async def _said_after_a_yes(conn: Connection, brand_id: UUID, told: Sequence[PartnerFact]) -> list[PartnerFact]:
    merged = await survivors_of(conn, brand_id, {entry.customer_id for entry in told})
    owners = [merged.get(entry.customer_id, entry.customer_id) for entry in told]
    yeses = await last_yeses(
        conn, brand_id, [(owner, entry.channel.bit) for owner, entry in zip(owners, told, strict=True)]
    )
    return [entry for entry, yes in zip(told, yeses, strict=True) if yes is not None and yes < entry.at]


async def _barred(
    conn: Connection,
    brand_id: UUID,
    channel: ChannelKind,
    told: Sequence[tuple[Fact, Standing]],
    merged: Mapping[UUID, UUID],
) -> list[Barred]:
    owners = [merged.get(fact.entry.customer_id, fact.entry.customer_id) for fact, _ in told]
    then = [(owner, standing.decided_at) for owner, (_, standing) in zip(owners, told, strict=True)]
    digests = await reach.digests_then(conn, brand_id, channel, then)
    return [
        Barred(fact.entry.execution_id, owner, digest, _CAUSES[fact.kind])
        for owner, digest, (fact, _) in zip(owners, digests, told, strict=True)
        # On a channel whose addresses have digests, no digest means that there is no address to bar.
        if digest is not None or not reach.has_digests(channel)
    ]


def _by_channel(refusals: Sequence[PartnerFact]) -> dict[tuple[ChannelKind, int], set[UUID]]:
    people: defaultdict[tuple[ChannelKind, int], set[UUID]] = defaultdict(set)
    for entry in refusals:
        people[entry.channel, entry.number].add(entry.customer_id)
    return dict(people)
