"""What the guard answers about one send: nothing, or an objection with its reason."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from stentor.domain.vocabulary import Reason


class Hold(msgspec.Struct, frozen=True):
    """Not now: the send waits until `until`."""

    until: datetime
    reason: Reason


class Skip(msgspec.Struct, frozen=True):
    """Not at all in this execution. `rule` and `evidence` say which rule objected and with what value."""

    reason: Reason
    rule: int = 0
    evidence: int = 0


Objection: TypeAlias = Hold | Skip
