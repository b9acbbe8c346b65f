"""The numbers that planning writes for quiet hours, and those of the chunks that hold what is held."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from stentor.deliver.model import PLACE_BITS, RELEASE_SPREAD, RETRY_BITS, SLOTS, Chunk, place_in, slot_in, slot_of
from stentor.domain.quiet_hours import QuietRule, quiet_windows
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions.quiet_plan import quiet_plan
from stentor.executions.slicing import CHUNKS_MAX, SLICES_MAX, cut_slices
from stentor.guard.quiet_hours import QuietHours

NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
FIRST, LAST = UUID(int=0), UUID(int=(1 << 128) - 1)


def hours(*rules: QuietRule) -> QuietHours:
    return QuietHours(quiet_windows(rules), ("UTC",))


def test_a_plan_knows_only_the_places_where_it_is_quiet():
    plan = quiet_plan(
        hours(QuietRule(from_="13:00", to="15:00", action="skip"), QuietRule(from_="21:00", to="08:00")),
        ["Europe/Berlin", "Asia/Tokyo", "America/New_York"],
        NOON,
    )

    assert plan is not None
    assert set(plan.verdicts) == {"Europe/Berlin", "Asia/Tokyo"}
    skipped, held = plan.verdicts["Europe/Berlin"], plan.verdicts["Asia/Tokyo"]
    assert (skipped & 3, skipped >> 2 & 63, skipped >> 8 & 127, skipped >> 15) == (
        SendState.SKIPPED,
        Reason.QUIET_HOURS_CANCELLED,
        1,
        0,
    )
    slot = slot_of(NOON + timedelta(hours=11))
    assert (held & 3, held >> 2 & 63, held >> 8 & 127, held >> 15) == (SendState.HELD, Reason.QUIET_HOURS, 2, slot)
    assert plan.due == {slot: NOON + timedelta(hours=11)}


def test_where_it_is_open_everywhere_there_is_no_plan():
    assert quiet_plan(hours(QuietRule(from_="21:00", to="08:00")), ["Europe/Berlin", ""], NOON) is None


def test_due_times_that_meet_in_a_slot_do_not_wait_for_each_other():
    # On Christmas Island it is quiet for 31 hours and 45 minutes longer: the slots have come round by then.
    night = hours(
        QuietRule(from_="00:00", to="13:00", days=("wed",)),
        QuietRule(from_="00:00", to="24:00", days=("thu",)),
        QuietRule(from_="00:00", to="10:45", days=("fri",)),
    )

    plan = quiet_plan(night, ["UTC", "Pacific/Kiritimati"], NOON)

    assert plan is not None
    sooner, later = NOON + timedelta(hours=1), NOON + timedelta(hours=32, minutes=45)
    assert slot_of(sooner) == slot_of(later)
    assert plan.due[plan.verdicts["UTC"] >> 15] == sooner
    assert plan.due[plan.verdicts["Pacific/Kiritimati"] >> 15] == later


def test_a_chunks_number_keeps_place_slot_and_try_apart():
    chunk = Chunk(LAST, 5, LAST, LAST, 1, 2, FIRST, LAST, 1, 0, False, FIRST)
    held = Chunk(LAST, chunk.held_number(NOON), LAST, LAST, 1, 2, FIRST, LAST, 1, 0, False, FIRST)
    retried = held.retry_number(7)

    assert (place_in(retried), slot_in(retried), retried >> RETRY_BITS) == (5, slot_of(NOON), 7)
    assert (chunk.was_held, held.was_held, held.is_retry) == (False, True, False)
    assert retried < 1 << 31
    assert slot_in(held.held_number(NOON + timedelta(hours=1))) == slot_of(NOON + timedelta(hours=1))


def test_every_slot_fits_its_bits():
    slots = {slot_of(NOON + timedelta(minutes=15 * number)) for number in range(1000)}

    assert slots == set(range(1, SLOTS + 1))
    assert SLOTS < 1 << (RETRY_BITS - PLACE_BITS)


def test_what_is_held_falls_due_within_ten_minutes_in_the_order_of_ids():
    plan = quiet_plan(hours(QuietRule(from_="11:00", to="13:00")), [""], NOON)
    assert plan is not None
    (slot,) = plan.due

    assert plan.due_at(7, FIRST) is None
    assert plan.due_at(slot << PLACE_BITS | 7, FIRST) == NOON + timedelta(hours=1)
    assert plan.due_at(slot << PLACE_BITS | 7, UUID(int=1 << 127)) == NOON + timedelta(hours=1) + RELEASE_SPREAD / 2


def test_chunks_never_outgrow_their_numbers():
    for people, routes in ((1_000_000_000, 9), (2_000_000_000, 1), (100_000_000, 2)):
        slices = cut_slices(people, routes)
        assert slices[-1].chunk_base + slices[-1].chunks * routes <= CHUNKS_MAX
        assert len(slices) <= SLICES_MAX
