"""Which files of a list are merged. Pure: from the catalogue to groups, of each of which one file is made."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from stentor.optouts.compaction.model import CatalogueFile

RUNS_MAX = 8
"""Runs of a list in the long run, each of which every look-up asks; while they are merged, and of an expiring list, there are more."""

SMALL_RUN_ENTRIES = 100_000
SMALL_RUNS_MAX = 4

SMALL_SEGMENT_ENTRIES = 2_500_000
"""Half of what a segment of a load has at most. So a list has a segment for each so many entries in the long run, and some small
ones, however it came to them; and of a large file with few duplicates nothing is written again."""

SMALL_SEGMENTS_MAX = 16
SEGMENT_ENTRIES = 10_000_000
"""So many entries at most are in a segment that was merged of small ones."""

AT_ONCE_MAX = 100
"""Files that are merged into one at once."""

LAPSES_TOGETHER = 0.1
"""Entries of a merged file lapse with its youngest one: later than they should by at most this part of the list's expiry."""


def runs_to_merge(
    runs: Sequence[CatalogueFile], expiry_days: int | None, *, everything: bool = False
) -> list[list[CatalogueFile]]:
    """Groups of at least two runs. With `everything` there is one group of all that may be one run."""
    groups = [
        list(alike) if everything else _of_similar_size(sorted(alike, key=lambda run: run.entries))
        for alike in _lapsing_together(runs, expiry_days)
    ]
    return [group[:AT_ONCE_MAX] for group in groups if len(group) > 1]


def segments_to_merge(
    segments: Sequence[CatalogueFile], expiry_days: int | None, *, everything: bool = False
) -> list[list[CatalogueFile]]:
    """Groups of at least two segments, all of them small."""
    found: list[list[CatalogueFile]] = []
    for alike in _lapsing_together(segments, expiry_days):
        small = [segment for segment in alike if segment.entries < SMALL_SEGMENT_ENTRIES]
        if len(small) > (1 if everything else SMALL_SEGMENTS_MAX):
            found += [group for group in _filled(small) if len(group) > 1]
    return found


def _of_similar_size(by_size: list[CatalogueFile]) -> list[CatalogueFile]:
    """The smaller ones, where there are too many; and larger ones as long as those before them have as many entries.

    So an entry is written again only into a run of twice the size: of two hundred million entries each a dozen times.
    """
    small = sum(run.entries < SMALL_RUN_ENTRIES for run in by_size)
    if small > SMALL_RUNS_MAX:
        taken = small
    elif len(by_size) > RUNS_MAX:
        taken = len(by_size) - RUNS_MAX // 2
    else:
        return []
    entries = sum(run.entries for run in by_size[:taken])
    while taken < len(by_size) and by_size[taken].entries <= entries:
        entries += by_size[taken].entries
        taken += 1
    return by_size[:taken]


def _lapsing_together(files: Sequence[CatalogueFile], expiry_days: int | None) -> Iterator[list[CatalogueFile]]:
    in_order = sorted(files, key=lambda file: (file.learned_at, file.id))
    if expiry_days is None:
        yield in_order
        return
    window = timedelta(days=expiry_days * LAPSES_TOGETHER)
    group: list[CatalogueFile] = []
    for file in in_order:
        if group and file.learned_at - group[0].learned_at > window:
            yield group
            group = []
        group.append(file)
    yield group


def _filled(small: Sequence[CatalogueFile]) -> Iterator[list[CatalogueFile]]:
    group: list[CatalogueFile] = []
    entries = 0
    for segment in small:
        if len(group) == AT_ONCE_MAX or (group and entries + segment.entries > SEGMENT_ENTRIES):
            yield group
            group = []
            entries = 0
        group.append(segment)
        entries += segment.entries
    yield group
