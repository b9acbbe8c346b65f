"""What holds on the stage of the stateful model, whatever was done there: the promises, as an onlooker can check them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flow_stage import CAP, PEOPLE, WINDOW, Send, SendKey, Stage
from stentor.domain.vocabulary import Reason, SendState
from tallies import unbalanced

if TYPE_CHECKING:
    from uuid import UUID

# Whether a sender was paused, what a template said, and how many of a cap's messages were on the wire.
NOT_KEPT = {"sender", "content", "cap"}
# The far side notes a message a moment before its acceptance is stamped.
_SLACK = timedelta(seconds=5)
_OTHER_AUDIENCES = """
    SELECT execution_id FROM tally GROUP BY 1 HAVING sum(CASE state WHEN -1 THEN -sends ELSE sends END) <> 0"""


async def assert_promises(stage: Stage) -> None:
    """All of them at this moment. Raises AssertionError for the first one that is broken."""
    sends = await stage.sends()
    await _every_verdict_is_found_again(
        stage, {key: send for key, send in sends.items() if stage.told.get(key) != send}
    )
    stage.told = sends
    await _every_number_adds_up(stage)
    await _nobody_is_lost_and_nobody_is_decided_twice(stage, sends)
    _what_is_told_of_a_send_is_what_happened(stage, sends)
    assert stage.far_side.contacted_against_their_will == []
    await _who_is_revoked_has_said_no(stage)
    _nobody_gets_more_than_the_cap_allows(stage)
    _nobody_is_withheld_below_the_cap(stage, sends)


async def assert_everything_ended(stage: Stage) -> None:
    """Nobody waits for anything any more."""
    waiting = {SendState.PENDING, SendState.HELD}
    assert [key for key, send in (await stage.sends()).items() if send.state in waiting] == []
    assert await stage.rows("SELECT id, state FROM execution WHERE ended_at IS NULL") == []
    # Also by what was chosen, reported and settled since.
    await _every_verdict_is_found_again(stage, await stage.sends())
    await _nobody_is_left_out_who_was_opted_in(stage)


async def _every_number_adds_up(stage: Stage) -> None:
    assert await unbalanced(stage.db) == []
    assert await stage.rows(_OTHER_AUDIENCES) == []


async def _nobody_is_lost_and_nobody_is_decided_twice(stage: Stage, sends: Mapping[SendKey, Send]) -> None:
    known = await stage.rows("SELECT id, published_at IS NOT NULL FROM execution")
    assert {execution for execution, _ in known} == set(stage.executions)
    decided: defaultdict[UUID, set[str]] = defaultdict(set)
    for execution, name in sends:
        decided[execution].add(name)
    for execution, is_published in known:
        if is_published:
            # Whoever was opted in at the step that planned it: since then nobody has chosen anything.
            assert decided[execution] == stage.audiences.setdefault(execution, set(stage.subscribed))
        else:
            assert not decided[execution]


async def _every_verdict_is_found_again(stage: Stage, sends: Iterable[SendKey]) -> None:
    """By what is kept of that moment, each check that was made comes to what it came to then."""
    for execution_id, name in sends:
        (told,) = await stage.explained(execution_id, name)
        assert [check for check in told.checks if check.differs] == [], f"{name} in {execution_id} is {told}"
        made = {check.name: check.replayed for check in told.checks if check.outcome != "not_reached"}
        # Nobody is erased here and no address is shared, so little is not kept.
        assert {name for name, is_kept in made.items() if not is_kept} <= NOT_KEPT


async def _nobody_is_left_out_who_was_opted_in(stage: Stage) -> None:
    for execution_id, audience in stage.audiences.items():
        for name in set(PEOPLE) - audience:
            told = await stage.engine.executions.explain(stage.world.brand_id, execution_id, name)
            assert "fault" not in told.outside


def _what_is_told_of_a_send_is_what_happened(stage: Stage, sends: Mapping[SendKey, Send]) -> None:
    for key, send in sends.items():
        copies, doubts = len(stage.far_side.taken.get(key, [])), stage.doubts[key]
        assert copies <= 1 + stage.resends[key], f"{key} got {copies} copies"
        if key in stage.settled_by_word:
            continue
        if send.state is SendState.HANDED_OVER:
            assert copies, f"{key} got nothing"
        elif send.state in {SendState.SKIPPED, SendState.FAILED}:
            assert not copies, f"{key} got a message and is {send}"
        elif send.state is SendState.UNKNOWN or copies:
            assert doubts, f"{key} is {send}"


async def _who_is_revoked_has_said_no(stage: Stage) -> None:
    revoked = {
        (execution, stage.names[customer])
        for execution, customer in await stage.rows("SELECT execution_id, customer_id FROM revocation")
    }
    # Asked at the step that revoked them: later they may agree again.
    assert [key for key in revoked - stage.revoked if stage.may_be_written_to(key[1])] == []
    stage.revoked = revoked


def _nobody_gets_more_than_the_cap_allows(stage: Stage) -> None:
    by_person: defaultdict[str, list[tuple[datetime, UUID]]] = defaultdict(list)
    for (execution, name), times in stage.far_side.taken.items():
        # Where somebody said what became of a message in doubt, their word counts, and not what happened.
        if (execution, name) not in stage.settled_by_word:
            by_person[name] += [(at, execution) for at in times]
    for name, contacts in by_person.items():
        for until, _ in contacts:
            within = {execution for at, execution in contacts if until - WINDOW < at <= until}
            assert len(within) <= CAP, f"{name} got {len(within)} messages in the window to {until}"


def _nobody_is_withheld_below_the_cap(stage: Stage, sends: Mapping[SendKey, Send]) -> None:
    for (execution, name), send in sends.items():
        if send.reason is Reason.FREQUENCY_CAP and send.state is SendState.SKIPPED:
            others = [key for key in sends if key[1] == name and key[0] != execution]
            counted = sum(_may_have_counted(stage, key, sends[key], send.decided_at) for key in others)
            assert counted >= CAP, f"{name} was withheld in {execution} though only {counted} counted"


def _may_have_counted(stage: Stage, key: SendKey, send: Send, at: datetime) -> bool:
    """Whether the send was accepted, in doubt, or on the wire within the window that ended then."""
    stamps = [*stage.far_side.tried.get(key, [])]
    if stage.doubts[key]:
        # In doubt from when it was given up, which its row says until a later decision.
        stamps += [send.decided_at, at]
    return any(at - WINDOW - _SLACK < stamp < at + _SLACK for stamp in stamps)
