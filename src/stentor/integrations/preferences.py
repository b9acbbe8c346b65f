"""How people may be written to, as partners tell it: many at a time, each with an entry of the consent ledger."""

from collections.abc import Sequence
from uuid import UUID

from stentor.audience.flags import Wish, set_channel_flags
from stentor.audience.model import Act, Source
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

PREFERRED_MAX = 50_000
"""People of one call."""

_AT_ONCE = 1_000
_WISHES: dict[int, Wish] = {0: "unset", 1: "agree", 2: "refuse"}


class PartnerPreferences:
    """Sets people's channel flags for partners."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def set(
        self, brand_id: UUID, channel: ChannelKind, external_ids: Sequence[str], *, mode: int, actor: str
    ) -> None:
        """Mode 0: neither; 1: they may be written to; 2: they may not.

        Whoever is not known is left out. A refusal is lifted by the person alone, so neither 0 nor 1 changes one. Raises Invalid
        for another mode.
        """
        wish = _WISHES.get(mode)
        if wish is None:
            raise Invalid.field(
                "/CommunicationMode",
                "mode",
                f"There is no CommunicationMode {mode}. 0 takes an agreement back, 1 lets people be written to, 2 does not.",
            )
        act = Act(source=Source.API, actor=actor)
        people = sorted(set(external_ids))
        for start in range(0, len(people), _AT_ONCE):
            some = people[start : start + _AT_ONCE]
            await set_channel_flags(self._db, brand_id, some, channel=channel, wish=wish, act=act)
