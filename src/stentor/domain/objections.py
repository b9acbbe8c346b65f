"""What the guard answers when a send may not go out now."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from stentor.domain.vocabulary import Reason


class Hold(msgspec.Struct, frozen=True):
    """Not before `until`; then it is asked again. `rule` numbers the rule that said so, from 1; 0 where there is one only."""

    until: datetime
    reason: Reason
    rule: int = 0


class Skip(msgspec.Struct, frozen=True):
    """Never, in this execution. `evidence` is what the rule counted, where it counts."""

    reason: Reason
    rule: int = 0
    evidence: int = 0


Objection: TypeAlias = Hold | Skip
