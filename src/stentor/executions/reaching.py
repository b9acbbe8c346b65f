"""Whether a person may be written to at this moment: their clock, what they said, which lists they are on, which caps are used up.

It asks what the guard asks of every message of a brand. What only one campaign says, its own caps and quiet hours, its topic and
its route, is told where it is asked: by a dry run, and by the trace of a send.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from stentor.accounts.model import BrandSettings
from stentor.accounts.service import find_brand
from stentor.audience.model import Customer
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS
from stentor.domain.objections import Hold
from stentor.domain.vocabulary import ChannelKind, Reason, channels_in
from stentor.executions.quieting import BrandQuiet
from stentor.guard.caps import CapRule, brand_rules
from stentor.guard.contacts import Contact, contacts_of
from stentor.guard.person import person_objection
from stentor.guard.places import place_of, zones_of
from stentor.guard.quiet_hours import quiet_hours
from stentor.guard.store import present
from stentor.optouts.model import Finding


class Sql(QuerySet, file="reaching.sql", package=__package__):
    lists: Statement


class FindsOptOuts(Protocol):
    """Who knows what an address is on."""

    async def find_everywhere(self, brand_id: UUID, address: str, channel: ChannelKind) -> list[Finding]:
        """All by which it is on one of the brand's enabled lists."""


class Clock(msgspec.Struct, frozen=True):
    """What a clock shows where the person may be."""

    time_zone: str
    local: datetime


class CapLeft(msgspec.Struct, frozen=True, kw_only=True):
    """One of the brand's caps and how much of it the person has left. `number`: its place in the policy, from 1.

    `channels`, `topics`, `campaigns` and `tags` are its scope; an empty one stands for all. `opens_at`: when another message is
    allowed, of a cap that is used up. Messages on the wire count once they are answered.
    """

    number: int
    at_most: int
    per_s: int
    channels: list[ChannelKind]
    topics: list[UUID]
    campaigns: list[UUID]
    tags: list[str]
    used: int
    opens_at: datetime | None

    @property
    def left(self) -> int:
        """How many messages are allowed now."""
        return max(0, self.at_most - self.used)


class OptOutFound(msgspec.Struct, frozen=True, kw_only=True):
    """By what an address of the person is on an opt-out list. Of an entry of a file only the list is known.

    `list_name` and `scope` are empty for a list of another brand that one of the brand's links to. Only a `scope` of `campaigns` or
    `topics` leaves messages of others alone.
    """

    channel: ChannelKind
    address: str
    list_id: UUID
    list_name: str
    scope: str
    form: str
    cause: str
    at: datetime | None
    source: str


class ChannelReach(msgspec.Struct, frozen=True):
    """Whether the person may be written to on a channel now. `reason` is `NONE` where they may; `until`: then it is asked again."""

    channel: ChannelKind
    reason: Reason
    until: datetime | None = None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How the person is reached at the time `at`.

    `clocks`: of the zones where they may be, several where nobody can tell; `zone_from` says by what that is known.
    """

    at: datetime
    clocks: list[Clock]
    zone_from: Literal["time_zone", "phone", "group"]
    channels: list[ChannelReach]
    caps: list[CapLeft]
    opt_outs: list[OptOutFound]


class ReachService:
    """Tells how people are reached; every call names its brand."""

    def __init__(self, db: Database, opt_outs: FindsOptOuts) -> None:
        self._db = db
        self._opt_outs = opt_outs

    async def of(self, brand_id: UUID, person: Customer) -> Reach:
        """How this person is reached now. Raises Unavailable while a file of an opt-out list cannot be read."""
        found = await self._found(brand_id, person)
        async with self._db.read() as conn:
            brand = await find_brand(conn, brand_id)
            now = await present(conn)
            contacts = await contacts_of(conn, brand_id, person.customer_id)
            lists = await Sql.lists.tuples(
                conn, brand_id=brand_id, ids=list({finding.list_id for _, _, finding in found})
            )
        settings = BrandSettings() if brand is None else brand.settings
        quiet = BrandQuiet.of(settings)
        place = place_of(person.time_zone, person.phone)
        rules = brand_rules(settings.policy)
        caps = [_left(number, rule, contacts, now) for number, rule in enumerate(rules, start=1)]
        named = {list_id: (name, scope) for list_id, name, scope in lists}
        opt_outs = [_told(kind, address, finding, named) for kind, address, finding in found]
        listed = {one.channel for one in opt_outs if one.scope not in {"campaigns", "topics"}}
        return Reach(
            at=now,
            clocks=[Clock(zone, now.astimezone(ZoneInfo(zone))) for zone in zones_of(place, quiet.fallback)],
            zone_from="time_zone" if person.time_zone else "phone" if person.phone else "group",
            channels=[
                _on(channel, person, listed=listed, quiet=quiet, place=place, caps=caps, now=now)
                for channel in channels_in(person.address_mask)
            ],
            caps=caps,
            opt_outs=opt_outs,
        )

    async def _found(self, brand_id: UUID, person: Customer) -> list[tuple[ChannelKind, str, Finding]]:
        found: list[tuple[ChannelKind, str, Finding]] = []
        for kind, channels, address in (
            (ChannelKind.EMAIL, EMAIL_CHANNELS, person.email),
            (ChannelKind.SMS, PHONE_CHANNELS, person.phone),
        ):
            if address is not None and person.valid_mask & channels:
                findings = await self._opt_outs.find_everywhere(brand_id, address, kind)
                found += [(kind, address, finding) for finding in findings]
        return found


def _on(
    channel: ChannelKind,
    person: Customer,
    *,
    listed: set[ChannelKind],
    quiet: BrandQuiet,
    place: str,
    caps: Sequence[CapLeft],
    now: datetime,
) -> ChannelReach:
    reason = person_objection(person, channel)
    if reason is Reason.NONE and any(
        channel.bit & mask and kind in listed
        for kind, mask in ((ChannelKind.EMAIL, EMAIL_CHANNELS), (ChannelKind.SMS, PHONE_CHANNELS))
    ):
        reason = Reason.SUPPRESSED
    if reason is not Reason.NONE:
        return ChannelReach(channel, reason)
    if person.break_until is not None and person.break_until > now:
        return ChannelReach(channel, Reason.ON_A_BREAK, person.break_until)
    hours = quiet_hours(channel, quiet.rules, (), quiet.fallback) if quiet.rules else None
    objection = None if hours is None else hours.objection(place, now)
    if isinstance(objection, Hold):
        return ChannelReach(channel, objection.reason, objection.until)
    if objection is not None:
        return ChannelReach(channel, objection.reason)
    opens = [
        cap.opens_at
        for cap in caps
        if cap.opens_at is not None and channel in cap.channels and not (cap.topics or cap.campaigns or cap.tags)
    ]
    return ChannelReach(channel, Reason.FREQUENCY_CAP, max(opens)) if opens else ChannelReach(channel, Reason.NONE)


def _left(number: int, rule: CapRule, contacts: Sequence[Contact], now: datetime) -> CapLeft:
    window = timedelta(seconds=rule.per_s)
    counted = sorted(one.at for one in contacts if one.at > now - window and rule.covers(one.subject))
    over = len(counted) - rule.at_most
    return CapLeft(
        number=number,
        at_most=rule.at_most,
        per_s=rule.per_s,
        channels=channels_in(rule.channels),
        topics=sorted(rule.topics),
        campaigns=sorted(rule.campaigns),
        tags=sorted(rule.tags),
        used=len(counted),
        opens_at=counted[over] + window if over >= 0 else None,
    )


def _told(kind: ChannelKind, address: str, finding: Finding, lists: Mapping[UUID, tuple[str, str]]) -> OptOutFound:
    entry, (name, scope) = finding.entry, lists.get(finding.list_id, ("", ""))
    return OptOutFound(
        channel=kind,
        address=address,
        list_id=finding.list_id,
        list_name=name,
        scope=scope,
        form=finding.form.name.lower(),
        cause="import" if entry is None else entry.cause,
        at=None if entry is None else entry.at,
        source="" if entry is None else entry.source,
    )
