"""The last questions of a wave's guard: who has had enough messages, and whose shared address is taken already.

Asked in this order under locks on the people, and reserved only for those who pass both: who is not written to for any reason
holds no reservation and no address.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.audience import reach
from stentor.audience.reach import Recipient
from stentor.db.connection import Connection
from stentor.deliver.model import Change, Claim, PendingSend
from stentor.deliver.settling import Settlement
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.executions.facts import ExecutionFacts
from stentor.guard import contacts
from stentor.guard.caps import Asked, CapRule, Subject, over_cap, rules_on
from stentor.guard.contacts import SendKey

Cleared = Sequence[tuple[PendingSend, Recipient]]


class Capping(msgspec.Struct, frozen=True):
    """The rules that a wave falls under: all of them, and for each execution that has some, which."""

    rules: list[CapRule]
    executions: dict[UUID, tuple[Subject, tuple[int, ...]]]

    async def judge(self, conn: Connection, claim: Claim, cleared: Cleared) -> list[Change]:
        """The sends that a rule holds back, each with the rule and what it counted. Locks the people of all others too."""
        sends = self._under_rules(cleared)
        if not sends:
            return []
        asked = self._asked(sends)
        await reach.lock(conn, claim.brand_id, {send.customer_id for send in sends})
        counts = await contacts.count(conn, claim.brand_id, claim.channel, asked, self.rules)
        return [
            Change.objected(send, capped)
            for send, capped in zip(sends, over_cap(self.rules, asked, counts), strict=True)
            if capped is not None
        ]

    async def reserve(self, conn: Connection, claim: Claim, cleared: Cleared) -> None:
        """Reserves a message for everybody who is written to and falls under a rule."""
        await contacts.reserve(conn, claim.brand_id, claim.channel, self._asked(self._under_rules(cleared)))

    def _under_rules(self, cleared: Cleared) -> list[PendingSend]:
        return [send for send, _ in cleared if send.execution_id in self.executions]

    def _asked(self, sends: Sequence[PendingSend]) -> list[Asked]:
        return [Asked(send.execution_id, send.customer_id, *self.executions[send.execution_id]) for send in sends]


async def settle_contacts(
    conn: Connection, claim: Claim, reserved: Collection[UUID], settlement: Settlement, ages_s: Mapping[SendKey, float]
) -> None:
    """Makes of a wave's reservations what was accepted and what is in doubt, and gives back all others.

    `reserved`: the executions whose sends hold some. `ages_s`: how long ago they were answered, where it was not just now.
    """

    def keys(sends: Iterable[PendingSend]) -> list[SendKey]:
        return [(send.execution_id, send.customer_id) for send in sends if send.execution_id in reserved]

    if reserved:
        in_doubt = keys(settlement.in_doubt)
        others = keys([*(change.send for change in settlement.changes), *settlement.staying])
        await contacts.settle(
            conn,
            claim.brand_id,
            claim.channel,
            accepted=keys(settlement.handed_over),
            in_doubt=in_doubt,
            refused=list(set(others).difference(in_doubt)),
            ages_s=ages_s,
        )


def capping_of(channel: ChannelKind, facts: Mapping[UUID, ExecutionFacts], brand: BrandPolicy) -> Capping | None:
    """The rules that these executions fall under on this channel; None when there are none, so that nothing is asked."""
    found: dict[UUID, tuple[Subject, tuple[CapRule, ...]]] = {}
    for execution_id, execution in facts.items():
        if rules := caps_on(channel, execution, brand):
            found[execution_id] = _subject(channel, execution), rules
    if not found:
        return None
    every = dict.fromkeys(rule for _, rules in found.values() for rule in rules)
    places = {rule: place for place, rule in enumerate(every)}
    return Capping(
        list(places),
        {execution: (subject, tuple(places[rule] for rule in rules)) for execution, (subject, rules) in found.items()},
    )


def caps_on(channel: ChannelKind, execution: ExecutionFacts, brand: BrandPolicy) -> tuple[CapRule, ...]:
    """The rules that an execution's messages on this channel fall under.

    The transactional lane falls under none. Neither do test executions: they reach nobody, and use up nobody's messages.
    """
    content = execution.publication.content
    if execution.is_test or Lane.named(content.lane) is Lane.TRANSACTIONAL:
        return ()
    return rules_on(_subject(channel, execution), content.policy, brand)


def _subject(channel: ChannelKind, execution: ExecutionFacts) -> Subject:
    content = execution.publication.content
    return Subject(channel, content.campaign_id, execution.topic_id, content.policy.tags)
