"""Which files of a list are merged: few enough to be asked, and seldom enough to be written."""

from datetime import UTC, datetime, timedelta

import pytest

from stentor.domain.ids import new_id
from stentor.optouts.compaction.choosing import (
    AT_ONCE_MAX,
    RUNS_MAX,
    SEGMENT_ENTRIES,
    SMALL_RUN_ENTRIES,
    SMALL_RUNS_MAX,
    SMALL_SEGMENT_ENTRIES,
    SMALL_SEGMENTS_MAX,
    runs_to_merge,
    segments_to_merge,
)
from stentor.optouts.compaction.model import CatalogueFile
from stentor.optouts.loading.splitting import CHUNK_LINES

START = datetime(2026, 11, 1, tzinfo=UTC)
LARGE = 10 * SMALL_RUN_ENTRIES


def file(entries: int, day: float = 0.0) -> CatalogueFile:
    return CatalogueFile(new_id(), 1, entries, entries, 0, START + timedelta(days=day))


def test_small_runs_are_merged_and_large_ones_left_alone():
    small = [file(5, day) for day in range(SMALL_RUNS_MAX + 1)]

    assert runs_to_merge([*small, file(LARGE)], None) == [small]
    assert runs_to_merge([*small[1:], file(LARGE)], None) == []


def test_a_larger_run_is_written_again_only_together_with_as_many_entries():
    runs = [file(LARGE, day) for day in range(RUNS_MAX)]

    (group,) = runs_to_merge([*runs, file(2 * LARGE, 9), file(100 * LARGE, 10)], None)

    assert sorted(run.entries for run in group) == [LARGE] * RUNS_MAX + [2 * LARGE]


def test_with_each_load_an_entry_is_written_only_some_times_again():
    runs: list[CatalogueFile] = []
    written = 0
    for load in range(1_000):
        runs.append(file(LARGE, load))
        for group in runs_to_merge(runs, None):
            merged = file(sum(run.entries for run in group), load)
            written += merged.entries
            runs = [run for run in runs if run not in group] + [merged]
        assert len(runs) <= RUNS_MAX

    assert written < 10 * 1_000 * LARGE


@pytest.mark.parametrize("are_runs", [True, False])
def test_entries_lapse_late_by_a_tenth_at_most(are_runs: bool):
    files = [file(5, day / 10) for day in range(300)]
    choose = runs_to_merge if are_runs else segments_to_merge

    groups = choose(files, 30, everything=True)

    assert len(groups) == 10
    for group in groups:
        learned = [each.learned_at for each in group]
        assert max(learned) - min(learned) <= timedelta(days=3)


def test_no_more_files_are_opened_at_once_than_a_process_may():
    runs = [file(5, day) for day in range(AT_ONCE_MAX + 50)]

    assert [len(group) for group in runs_to_merge(runs, None, everything=True)] == [AT_ONCE_MAX]
    assert [len(group) for group in segments_to_merge(runs, None)] == [AT_ONCE_MAX, 50]


def test_small_segments_fill_larger_ones():
    small = [file(SEGMENT_ENTRIES // 11, day) for day in range(SMALL_SEGMENTS_MAX + 2)]

    assert [len(group) for group in segments_to_merge([*small, file(SEGMENT_ENTRIES)], None)] == [11, 7]
    assert segments_to_merge(small[:SMALL_SEGMENTS_MAX], None) == []


@pytest.mark.parametrize("entries", [50_000, 600_000, 1_200_000, 2_400_000, 4_900_000])
def test_segments_are_few_for_what_they_hold_and_written_some_times_again_whatever_came_with_each_load(entries: int):
    segments: list[CatalogueFile] = []
    written = 0
    for load in range(400):
        segments.append(file(entries, load))
        for group in segments_to_merge(segments, None):
            merged = file(sum(segment.entries for segment in group), load)
            written += merged.entries
            segments = [segment for segment in segments if segment not in group] + [merged]
        assert len(segments) <= SMALL_SEGMENTS_MAX + (load + 1) * entries / (CHUNK_LINES / 2)

    assert written < 5 * 400 * entries


def test_the_segments_of_a_large_file_that_was_new_are_left_as_they_are():
    segments = [file(CHUNK_LINES * 9 // 10, load) for load in range(100)]

    assert segments_to_merge(segments, None) == segments_to_merge(segments, None, everything=True) == []
    assert SMALL_SEGMENT_ENTRIES <= CHUNK_LINES // 2


def test_a_list_without_files_has_nothing_to_merge():
    for expiry_days in (None, 30):
        assert runs_to_merge([], expiry_days, everything=True) == []
        assert segments_to_merge([], expiry_days, everything=True) == []
