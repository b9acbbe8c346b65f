"""The guard's first half: objections that are keyed by the person alone.

Planning asks the same question in set-based SQL (`executions/plan.sql`); a test holds the two answers against each other,
person by person. The order is the order in which a trace lists the checks: consent, complaint, bounce, address.
"""

from typing import Protocol

from stentor.domain.vocabulary import ChannelKind, Reason


class PersonFacts(Protocol):
    """What is known of a person, as masks of channels (`1 << channel number`)."""

    @property
    def refused_mask(self) -> int: ...
    @property
    def complained_mask(self) -> int: ...
    @property
    def bounced_mask(self) -> int: ...
    @property
    def address_mask(self) -> int: ...
    @property
    def valid_mask(self) -> int: ...


def person_objection(person: PersonFacts, channel: ChannelKind, *, heeds_flags: bool = True) -> Reason:
    """Why this person must not be written to on this channel, or `Reason.NONE`.

    Channel flags are consent, so what needs none does not heed them; a dead address and a complaint stop everything.
    """
    bit = channel.bit
    if heeds_flags and person.refused_mask & bit:
        return Reason.UNSUBSCRIBED
    if person.complained_mask & bit:
        return Reason.COMPLAINED
    if person.bounced_mask & bit:
        return Reason.BOUNCED_BEFORE
    if not person.address_mask & bit:
        return Reason.NO_ADDRESS
    if not person.valid_mask & bit:
        return Reason.INVALID_ADDRESS
    return Reason.NONE
