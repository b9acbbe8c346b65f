"""The guard's second half: asked anew for each wave, as late as can be, with what is true at that moment.

An opt-out that was acknowledged before the wave's transaction began is seen here, whatever the plan said.
"""

from typing import Protocol

from stentor.domain.vocabulary import ChannelKind, ConsentBasis, Reason
from stentor.guard.person import PersonFacts, person_objection


class Candidate(PersonFacts, Protocol):
    """A person about to be written to, as loaded for this wave."""

    @property
    def topic_channels(self) -> int:
        """The channels of the person's subscription to the execution's topic; 0 when withdrawn or never made."""
        ...

    @property
    def is_on_a_break(self) -> bool:
        """Whether they asked for no messages for a while that has not passed."""
        ...


def wave_objection(person: Candidate, channel: ChannelKind, basis: ConsentBasis, *, heeds_topic: bool) -> Reason:
    """Why this send must not go out as the person stands now, by the first check that objects, or `Reason.NONE`.

    `heeds_topic`: only subscribers are written to. A break is a wish like a channel flag: what needs no consent does not heed it.
    """
    if heeds_topic and not person.topic_channels & channel.bit:
        return Reason.UNSUBSCRIBED
    heeds_flags = basis is not ConsentBasis.NONE
    if reason := person_objection(person, channel, heeds_flags=heeds_flags):
        return reason
    return Reason.ON_A_BREAK if heeds_flags and person.is_on_a_break else Reason.NONE
