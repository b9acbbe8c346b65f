"""The channel of whatever a partner pulls: nothing is ever pushed there."""

from collections.abc import Sequence

from stentor.channels.contract import Deferred, Message, Outcome, Wave

_PULLED = Deferred("Its service pulls what is for it; nothing is handed over here.", sender_wide=True)


class Listener:
    """Hands nothing over.

    Workers get what is to be pulled only to skip it, once its execution is over. If one should find somebody to write to all
    the same, by a clock that is behind, nothing is sent, and what it claimed is let go for a while.
    """

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:  # noqa: ARG002 - the contract's
        return [_PULLED] * len(messages)

    async def aclose(self) -> None:
        """Holds nothing."""
