"""The guard asked again about one send: each check by what held when it was decided, from what is only ever added to.

The consent ledger, what people were, opt-outs that were lifted, versions of the brand's policy, the waves and their times.
What is kept of none of these, a check cannot find again, and says so: how many messages a cap had counted, whose address it
was when that was given free since, what a template made of somebody, and what the guard knew of a person who is erased.
Before a migration made room for what was, only the ledger was kept: what else held then, nobody knows any more.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from stentor.accounts.model import PolicyVersion
from stentor.audience.past import Past, PersonThen
from stentor.campaigns.model import Publication
from stentor.domain.objections import Hold, Objection
from stentor.domain.policy import PER_DAYS_MAX, BrandCap, CampaignCap
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ConsentBasis, Reason, channels_in
from stentor.executions.capping import caps_on
from stentor.executions.facts import ExecutionFacts
from stentor.executions.model import Execution
from stentor.executions.quieting import BrandQuiet
from stentor.guard.caps import BRAND_RULES_FROM, CapRule
from stentor.guard.contacts import Contact
from stentor.guard.holdout import is_held_out
from stentor.guard.person import person_objection
from stentor.guard.quiet_hours import QuietHours
from stentor.guard.wave import wave_objection
from stentor.optouts.hashing import EntryForm
from stentor.optouts.listed_then import ListedThen, ListsThen
from stentor.report.recipients import SendTrace

MEANWHILE = timedelta(seconds=5)
"""How long before its stamp a decision may have been made: what was committed in between, it may have seen or not."""

KNOWN_WITHIN = timedelta(seconds=1)
"""How long after a change of a brand's settings a worker may go by the ones before."""

CHECKS: dict[str, frozenset[Reason]] = {
    "execution": frozenset({Reason.EXECUTION_CANCELLED, Reason.NOT_CLEARED, Reason.REVOKED}),
    "consent": frozenset({Reason.NOT_OPTED_IN, Reason.UNSUBSCRIBED}),
    "break": frozenset({Reason.ON_A_BREAK}),
    "complaint": frozenset({Reason.COMPLAINED}),
    "bounce": frozenset({Reason.BOUNCED_BEFORE}),
    "address": frozenset({Reason.NO_ADDRESS, Reason.INVALID_ADDRESS}),
    "holdout": frozenset({Reason.HOLDOUT}),
    "suppression": frozenset({Reason.SUPPRESSED}),
    "deadline": frozenset({Reason.DEADLINE}),
    "quiet_hours": frozenset({Reason.QUIET_HOURS, Reason.QUIET_HOURS_CANCELLED, Reason.NO_TIMEZONE}),
    "cap": frozenset({Reason.FREQUENCY_CAP}),
    "duplicate": frozenset({Reason.DUPLICATE_ADDRESS, Reason.DUPLICATE_RECIPIENT}),
    "content": frozenset({Reason.TEMPLATE_ERROR, Reason.EMPTY_CONTENT, Reason.ABORT_BY_TEMPLATE}),
}
"""The checks that a verdict can come from, each with the reasons that it objects with."""

_OF_THE_PERSON = ("consent", "complaint", "bounce", "address", "break", "suppression")
_BY_WHAT_WAS = frozenset({"complaint", "bounce", "address", "suppression", "quiet_hours", "cap"})
"""What goes by how people were, by opt-outs or by the brand's policy, and not by the ledger or what is published."""

_ZONES_TOLD = 3


class Found(msgspec.Struct, frozen=True):
    """What a check finds when it is asked again. `reason` NONE: it does not object.

    `is_kept` False: what it went by is not kept, so that only what was stored says anything.
    """

    reason: Reason = Reason.NONE
    detail: str = ""
    rule: int = 0
    is_kept: bool = True


_NOT_KEPT = Found(is_kept=False)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one person and one send, by which its checks are asked again.

    `moments`: when it was decided, the likeliest first; of a send that was on the wire, when its waves were guarded.
    `kept_since`: before that, what was is not kept, the ledger excepted. `lists`: what holds their address on the channel.
    `shares_address`: whether somebody else has it in this execution.
    """

    execution: Execution
    publication: Publication
    deadline_at: datetime | None
    send: SendTrace
    moments: Sequence[datetime]
    by_planning: bool
    kept_since: datetime
    past: Past
    lists: ListsThen
    policies: Sequence[PolicyVersion]
    contacts: Sequence[Contact]
    shares_address: bool
    now: datetime
    customer: UUID


class Replay:
    """The checks of one send, asked again."""

    def __init__(self, kept: Kept, *, meanwhile: timedelta = MEANWHILE) -> None:
        self._kept = kept
        self._content = kept.publication.content
        self._channel = kept.send.channel
        execution = kept.execution
        self._facts = ExecutionFacts(
            execution.id, kept.publication, execution.topic_id, execution.context, execution.is_test
        )
        self._meanwhile = meanwhile

    def find(self, check: str, stored: Reason) -> Found:
        """What the check finds, where it may be what is stored: of several moments, that one is meant."""
        said: list[Found] = []
        for found in self._found(check):
            if not found.is_kept and found.reason is Reason.NONE:
                # It says nothing, so it is neither the same nor another verdict.
                said.append(found)
            elif found.reason is stored and (stored is Reason.NONE or found.rule == self._rule_of(check, found)):
                return found
            else:
                said.insert(0, found)
        return said[0] if said else _NOT_KEPT

    def _rule_of(self, check: str, found: Found) -> int:
        if check == "suppression":
            # Before there were many lists, no trace said which one it was.
            return self._kept.send.rule or found.rule
        return self._kept.send.rule if check in {"quiet_hours", "cap"} else 0

    def _found(self, check: str) -> Iterator[Found]:
        for at in self._instants():
            if check in _BY_WHAT_WAS and at < self._kept.kept_since:
                yield _NOT_KEPT
            elif check in _OF_THE_PERSON:
                yield self._person(check, at)
            elif check == "quiet_hours":
                yield from (self._quiet(at, version) for version in self._versions(at))
            elif check == "cap":
                yield from (self._cap(at, version) for version in self._versions(at))
            elif check == "execution":
                yield self._execution(at)
            elif check == "deadline":
                yield self._deadline(at)
            elif check == "holdout":
                yield self._holdout()
            elif check == "duplicate":
                yield self._duplicate()

    def _instants(self) -> Iterator[datetime]:
        """The moments, and before each of them those from which on something else held that may have been seen."""
        for at in self._kept.moments:
            yield at
            if self._meanwhile:
                since = at - self._meanwhile
                yield from reversed(self._kept.past.changes(since, at))
                yield from self._kept.lists.changes(since, at)
                yield since

    def _versions(self, at: datetime) -> Iterable[PolicyVersion]:
        """The policies that may have been gone by at that moment, the latest first."""
        versions = self._kept.policies
        ends: list[datetime | None] = [*(version.since for version in versions[1:]), None]
        known = [
            version
            for version, end in zip(versions, ends, strict=True)
            if version.since <= at and (end is None or at - self._meanwhile - KNOWN_WITHIN < end)
        ]
        return reversed(known or versions[:1])

    def _person(self, check: str, at: datetime) -> Found:
        if anew := self._made_anew():
            # What is known is known of somebody else.
            return anew if check == "address" and self._kept.send.reason is Reason.NO_ADDRESS else _NOT_KEPT
        then = self._kept.past.at(at)
        if then is None:
            return _NOT_KEPT
        reason = self._person_objection(then)
        objecting = next((name for name in _OF_THE_PERSON if reason in CHECKS[name]), None)
        if objecting == check:
            return Found(reason, self._objection_told(check, then, at))
        if objecting is not None and _OF_THE_PERSON.index(objecting) < _OF_THE_PERSON.index(check):
            return _NOT_KEPT
        if check == "suppression":
            return self._suppression(then, at)
        return Found(detail=self._consent_told(then, at) if check == "consent" else "")

    def _made_anew(self) -> Found | None:
        made_at, meant_at = self._kept.past.made_at, self._kept.execution.meant_at
        if made_at is None or meant_at is None or made_at <= meant_at:
            return None
        told = f"Whoever was meant at {_told(meant_at)} was erased; this person was made at {_told(made_at)}."
        return Found(Reason.NO_ADDRESS, told)

    def _person_objection(self, then: PersonThen) -> Reason:
        heeds_flags = self._facts.basis is not ConsentBasis.NONE
        if not self._kept.by_planning:
            return wave_objection(then, self._channel, self._facts.basis, heeds_topic=self._facts.heeds_topic)
        # Who is in a cast was asked when it was made, and not when it was planned.
        is_of_topic = not self._kept.execution.recipients and self._kept.execution.cast_size is None
        if is_of_topic and not then.topic_channels & self._channel.bit:
            return Reason.UNSUBSCRIBED
        return person_objection(then, self._channel, heeds_flags=heeds_flags)

    def _suppression(self, then: PersonThen, at: datetime) -> Found:
        digest = then.digest_on(self._channel)
        if digest is None:
            return Found()
        lists, send = self._kept.lists, self._kept.send
        holding = lists.held_at(digest, at)
        if holding:
            # Of several, the one in the trace is meant: lists before it may be other ones by now.
            entry = next((one for one in holding if (one.form, one.number) == (send.rule, send.evidence)), holding[0])
            return Found(Reason.SUPPRESSED, _listed_told(entry), entry.form)
        if send.reason is Reason.SUPPRESSED and lists.stored:
            told = f"On the {lists.stored} list{_BY_FORM[EntryForm(send.rule or EntryForm.ADDRESS)]}."
            return Found(detail=told, is_kept=lists.is_sure(digest, at))
        return Found(is_kept=lists.is_sure(digest, at))

    def _objection_told(self, check: str, then: PersonThen, at: datetime) -> str:
        if check == "consent":
            return self._consent_told(then, at)
        if check == "break":
            asked = self._kept.past.last_break(at)
            return "" if asked is None or asked.until is None else f"Until {_told(asked.until)}, by {asked.source}."
        if check in {"complaint", "bounce"}:
            since = self._kept.past.marked_since(at, self._channel, complained=check == "complaint")
            return f"Since {_told(since)}." if since else ""
        return ""

    def _consent_told(self, then: PersonThen, at: datetime) -> str:
        """The entry of the ledger that it went by."""
        if self._facts.basis is ConsentBasis.NONE and self._kept.execution.topic_id is None:
            return "No consent is needed."
        is_opted_in = not self._facts.heeds_topic or then.topic_channels & self._channel.bit
        of_topic = not (is_opted_in and then.refused_mask & self._channel.bit)
        entry = self._kept.past.last(at, of_topic=of_topic, channel=self._channel)
        if entry is None:
            return "The ledger has nothing about it."
        kinds = ", ".join(kind.label for kind in channels_in(entry.channels))
        return f"{entry.kind.capitalize()} ({kinds}) at {_told(entry.at)} by {entry.source}."

    def _execution(self, at: datetime) -> Found:
        execution = self._kept.execution
        if execution.cancelled_at is not None and execution.cancelled_at <= at:
            return Found(Reason.EXECUTION_CANCELLED, f"Cancelled at {_told(execution.cancelled_at)}.")
        deadline = self._kept.deadline_at
        # Past its deadline nobody is asked any more whether it had failed.
        if execution.state == "failed" and execution.status_at <= at and (deadline is None or at < deadline):
            return Found(Reason.EXECUTION_CANCELLED, f"It had failed at {_told(execution.status_at)}.")
        if self._kept.send.reason is Reason.NOT_CLEARED:
            return Found(Reason.NOT_CLEARED, "The service that sends it had not cleared them when that was over.")
        if self._kept.send.reason is Reason.REVOKED:
            return Found(
                Reason.REVOKED, "They were on a list that was pulled, and said no before they were written to."
            )
        return Found()

    def _deadline(self, at: datetime) -> Found:
        deadline = self._kept.deadline_at
        if deadline is None:
            return Found()
        late = deadline <= at
        return Found(
            Reason.DEADLINE if late else Reason.NONE, f"The deadline {'was' if late else 'is'} {_told(deadline)}."
        )

    def _holdout(self) -> Found:
        share = self._content.policy.holdout
        if not share:
            return Found()
        is_out = is_held_out(self._content.campaign_id, self._kept.customer, share)
        return Found(
            Reason.HOLDOUT if is_out else Reason.NONE,
            f"The campaign leaves out {share:.4g} of all, always the same ones.",
        )

    def _quiet(self, at: datetime, version: PolicyVersion) -> Found:
        hours = BrandQuiet.of(version.settings).on(self._content, self._channel)
        if hours is None:
            return Found()
        then = self._kept.past.at(at)
        if then is None:
            return _NOT_KEPT
        objection = hours.objection(then.place, at)
        clocks = _clocks(hours, then.place, at)
        if objection is None:
            return Found(detail=f"It was {clocks}; policy version {version.version}.")
        rule = self._quiet_rule(version, objection.rule)
        return Found(objection.reason, f"It was {clocks}; {rule} objected{_until(objection)}.", objection.rule)

    def _quiet_rule(self, version: PolicyVersion, number: int) -> str:
        of_brand = version.settings.quiet_hours
        if number <= len(of_brand):
            return (
                f"the brand's quiet hours {number} ({_window(of_brand[number - 1])}, policy version {version.version})"
            )
        own = number - len(of_brand)
        return f"the campaign's quiet hours {own} ({_window(self._content.policy.quiet_hours[own - 1])})"

    def _cap(self, at: datetime, version: PolicyVersion) -> Found:
        rules = caps_on(self._channel, self._facts, version.settings.policy)
        told: list[str] = []
        for rule in rules:
            named = self._cap_told(rule.number, version)
            counted = self._surely_counted(rule, at)
            if self._kept.send.reason is Reason.FREQUENCY_CAP and rule.number == self._kept.send.rule:
                # How many were on the wire at that moment is not kept: the number that was stored is what there is.
                stored = self._kept.send.evidence
                enough = stored >= rule.at_most
                detail = f"{named}: {stored} counted."
                return Found(Reason.FREQUENCY_CAP if enough else Reason.NONE, detail, rule.number, is_kept=not enough)
            if counted >= rule.at_most:
                return Found(Reason.FREQUENCY_CAP, f"{named}: {counted} counted.", rule.number)
            told.append(f"{named}: {counted} accepted in it.")
        longest = timedelta(seconds=max((rule.per_s for rule in rules), default=0))
        return Found(
            detail=" ".join(told), is_kept=not rules or at - longest > self._kept.now - timedelta(days=PER_DAYS_MAX)
        )

    def _surely_counted(self, rule: CapRule, at: datetime) -> int:
        """At least so many the rule counted at that moment; what was on the wire then, or was refused later, is not among them."""
        own = self._kept.execution.id, self._channel
        begin = at - timedelta(seconds=rule.per_s)
        return sum(
            begin < contact.at <= at and rule.covers(contact.subject)
            for contact in self._kept.contacts
            if (contact.execution_id, contact.subject.channel) != own
        )

    def _cap_told(self, number: int, version: PolicyVersion) -> str:
        if number > BRAND_RULES_FROM:
            own = number - BRAND_RULES_FROM
            cap = version.settings.policy.caps[own - 1]
            return f"The brand's cap {own} (policy version {version.version}), {_scope(cap)}"
        return f"The campaign's cap {number}, {_scope(self._content.policy.caps[number - 1])}"

    def _duplicate(self) -> Found:
        if not self._kept.shares_address:
            # Nobody has it now. That it was given free since is possible only where it had been an objection.
            return Found(is_kept=self._kept.send.reason not in CHECKS["duplicate"])
        if self._kept.send.reason is Reason.DUPLICATE_ADDRESS:
            return Found(Reason.DUPLICATE_ADDRESS, "Somebody else with the same address was written to.")
        return _NOT_KEPT


_BY_FORM = {
    EntryForm.ADDRESS: "",
    EntryForm.OTHER_SPELLING: " by the other spelling of its host",
    EntryForm.DOMAIN: " by its domain",
}


def _listed_told(entry: ListedThen) -> str:
    """Which list, by which kind of entry, since when and why; and of a list with files, in which generation of them."""
    because = ", ".join(filter(None, (entry.cause, entry.source)))
    generation = f" (generation {entry.generation} of the list)" if entry.generation else ""
    return f"On the {entry.list} list{_BY_FORM[entry.form]} since {_told(entry.at)}: {because}{generation}."


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _until(objection: Objection) -> str:
    return f" until {_told(objection.until)}" if isinstance(objection, Hold) else ""


def _clocks(hours: QuietHours, place: str, at: datetime) -> str:
    zones = hours.zones(place)
    clocks = ", ".join(f"{at.astimezone(ZoneInfo(zone)):%a %H:%M} in {zone}" for zone in zones[:_ZONES_TOLD])
    return clocks + (f" and {len(zones) - _ZONES_TOLD} more zones" if len(zones) > _ZONES_TOLD else "")


def _window(rule: QuietRule) -> str:
    if rule.preset is not None:
        return f"preset {rule.preset}"
    if rule.from_ is None:
        return "holidays"
    days = f" on {', '.join(rule.days)}" if rule.days else ""
    return f"{rule.from_} to {rule.to}{days}"


def _scope(cap: CampaignCap) -> str:
    """At most how many, in which window, of what."""
    scope: list[tuple[str, Sequence[object]]] = [("on", cap.channels), ("about the topics", cap.topics)]
    if isinstance(cap, BrandCap):
        scope += [("of the campaigns", cap.campaigns), ("tagged", cap.tags)]
    named = "".join(f" {word} {', '.join(map(str, terms))}" for word, terms in scope if terms)
    return f"at most {cap.at_most} per {cap.per}{named}"
