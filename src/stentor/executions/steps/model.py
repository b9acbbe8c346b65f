"""How the steps of a run stand."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.executions.model import ExecutionState


class StepExecution(msgspec.Struct, frozen=True):
    """An execution of a step: of `people` who fell due together, `cast_size` took it, and the others left.

    `cast_size` is None until that was decided.
    """

    step: int
    id: UUID
    due_at: datetime
    people: int
    cast_size: int | None
    state: ExecutionState
    started_at: datetime


class Exits(msgspec.Struct, frozen=True):
    """People who left before a step, by why.

    `gone`: they are erased, merged into somebody else, or known by a bare address alone; `opted_out`: they took back, on a
    channel on which they were written to, what they were written to by; `unmet`: the step's condition did not hold, or it says
    nothing to them; `dropped`: its execution failed or was cancelled, or the run was, before that was asked.
    """

    gone: int = 0
    opted_out: int = 0
    unmet: int = 0
    dropped: int = 0

    @property
    def people(self) -> int:
        """All of them."""
        return self.gone + self.opted_out + self.unmet + self.dropped


class StepStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Those who were handed over the step before: `handed_over = waiting + went_on + exits`, at all times."""

    step: int
    wait_s: int
    handed_over: int
    waiting: int
    due_next_at: datetime | None
    went_on: int
    exits: Exits
    executions: tuple[StepExecution, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a run, and whether they are held or over: the run itself may have ended long before them."""

    execution_id: UUID
    paused_at: datetime | None = None
    cancelled_at: datetime | None = None
    ended_at: datetime | None = None
    steps: tuple[StepStanding, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """An execution, held locked, whose people wait for that step of the run once they are handed over.

    `ordered` remedies were ordered for it by now, of which `remedies` were carried out when it was looked through last.
    """

    execution_id: UUID
    run_id: UUID
    brand_id: UUID
    step: int
    wait_s: int
    remedies: int
    ordered: int
    is_over: bool
    turns: int


class SettledChunk(msgspec.Struct, frozen=True):
    """A chunk of a source of which something was settled, the last of it at `settled_at`: when it was done, or its last wave was."""

    execution_id: UUID
    number: int
    channel: int
    key_from: UUID
    key_to: UUID
    sends: int
    settled_at: datetime


class DueTurn(msgspec.Struct, frozen=True):
    """Those who fell due for a step together, held locked, with the publication of their run."""

    run_id: UUID
    step: int
    due_at: datetime
    brand_id: UUID
    publication_id: UUID
