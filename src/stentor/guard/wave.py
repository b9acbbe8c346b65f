"""The guard's second half: asked anew for each wave, as late as can be, with what is true at that moment.

An opt-out that was acknowledged before the wave's transaction began is seen here, whatever the plan said.
"""

from collections.abc import Collection
from typing import Protocol

from stentor.domain.vocabulary import ChannelKind, ConsentBasis, Reason
from stentor.guard.person import PersonFacts, person_objection


class Candidate(PersonFacts, Protocol):
    """A person about to be written to, as loaded for this wave."""

    @property
    def topic_channels(self) -> int:
        """The channels of the person's subscription to the execution's topic; 0 when withdrawn or never made."""
        ...

    def digest_on(self, channel: ChannelKind) -> bytes | None:
        """The digest that opt-out lists know the address by, on channels that have such lists."""
        ...


def wave_objection(
    person: Candidate, channel: ChannelKind, basis: ConsentBasis, suppressed: Collection[bytes], *, heeds_topic: bool
) -> Reason:
    """Why this send must not go out, by the first check that objects, or `Reason.NONE`.

    `suppressed` holds the digests of this wave that are on an opt-out list. `heeds_topic`: only subscribers are written to.
    """
    if heeds_topic and not person.topic_channels & channel.bit:
        return Reason.UNSUBSCRIBED
    if reason := person_objection(person, channel, heeds_flags=basis is not ConsentBasis.NONE):
        return reason
    if suppressed and person.digest_on(channel) in suppressed:
        return Reason.SUPPRESSED
    return Reason.NONE
