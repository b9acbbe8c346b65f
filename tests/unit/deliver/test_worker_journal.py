"""A worker's journal: what was noted survives its process, and what cannot be relied on is not read."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Rejected
from stentor.deliver.journal import NOTHING_NOTED, Journal, WaveNotes
from stentor.deliver.journal_file import HEAD_BYTES, At, Mark, boot_id
from stentor.deliver.journals import DIRECTORY, Journals
from stentor.deliver.model import Attempt, Chunk, Claim, LostWave, PendingSend
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.testing.channels import BRAND_ID, SENDER_ID, mail

EXECUTION = UUID(int=7)
PEOPLE = [UUID(int=100 + number) for number in range(8)]
ANSWERS: list[Outcome] = [
    Accepted(),
    Deferred("450 later", 40.0),
    Rejected("550 no, a lone surrogate \udc80 says"),
    Rejected("550 5.1.1 nobody", bad_address=True),
    InDoubt("the connection was cut"),
    NotSent("too old"),
    Deferred("connection refused", sender_wide=True),
]


def claim_of(*numbers: int) -> Claim:
    chunks = [
        Chunk(
            execution_id=EXECUTION,
            number=number,
            brand_id=BRAND_ID,
            sender_id=SENDER_ID,
            channel=1,
            lane=2,
            key_from=UUID(int=0),
            key_to=UUID(int=1_000),
            epoch=3,
            next_wave=0,
            has_open_waves=False,
            cursor=UUID(int=0),
        )
        for number in numbers
    ]
    return Claim(BRAND_ID, SENDER_ID, ChannelKind.EMAIL, Lane.BULK, chunks)


def opened(journal: Journal, claim: Claim | None = None, number: int = 0) -> WaveNotes:
    """A wave of all eight people, one after the other in the claim's chunks."""
    claim = claim or claim_of(0)
    notes = journal.take()
    notes.open(claim, [Attempt(chunk, number, PEOPLE[0], PEOPLE[-1], 8) for chunk in claim.chunks])
    places = len(claim.chunks)
    sends = [PendingSend(n % places, EXECUTION, n % places, customer, 0, 0) for n, customer in enumerate(PEOPLE)]
    notes.list(sends, [mail(n, f"person{n}@example.com") for n in range(8)])
    return notes


def lost(worker: str = "w:1:a", *, chunk: int = 0, number: int = 0, epoch: int = 3) -> LostWave:
    return LostWave(0, EXECUTION, chunk, number, epoch, worker, PEOPLE[0], PEOPLE[-1])


def read(journals: Journals, wave: LostWave | None = None) -> dict[int, Outcome] | None:
    """What is noted of people, by their number; None when nothing can be."""
    (taken,) = journals.take_over([wave or lost()])
    found = taken.read() if taken else None
    return None if found is None else {PEOPLE.index(customer): noted.outcome for customer, noted in found.items()}


def test_what_was_noted_is_read_by_whoever_takes_the_wave_over(tmp_path: Path):
    journals = Journals(tmp_path)
    notes = opened(journals.open("w:1:a", waves=1)).channel_notes
    for index, outcome in enumerate(ANSWERS):
        notes.start(index)
        notes.answer(index, outcome)
    notes.start(7)

    found = read(journals)

    assert found is not None
    said = [Rejected("550 no, a lone surrogate ? says") if index == 2 else ANSWERS[index] for index in range(5)]
    assert [found[index] for index in range(5)] == said
    assert all(isinstance(found[index], NotSent) for index in (5, 6))
    assert isinstance(found[7], InDoubt)


def test_who_was_not_started_or_certainly_did_not_leave_was_not_written_to(tmp_path: Path):
    journals = Journals(tmp_path)
    notes = opened(journals.open("w:1:a", waves=1)).channel_notes
    notes.start(0)
    notes.take_back(0)

    found = read(journals)

    assert found is not None
    assert all(isinstance(outcome, NotSent) for outcome in found.values())


def test_an_acceptance_has_its_time(tmp_path: Path):
    journals = Journals(tmp_path)
    opened(journals.open("w:1:a", waves=1)).channel_notes.answer(0, Accepted())

    (taken,) = journals.take_over([lost()])

    found = taken.read() if taken else None
    assert found is not None
    assert 0 <= found[PEOPLE[0]].age_s < 10


def test_each_chunk_of_a_wave_has_its_own_people(tmp_path: Path):
    journals = Journals(tmp_path)
    opened(journals.open("w:1:a", waves=1), claim_of(0, 1))

    evens, odds = read(journals, lost(chunk=0)), read(journals, lost(chunk=1))

    assert (set(evens or {}), set(odds or {})) == ({0, 2, 4, 6}, {1, 3, 5, 7})


@pytest.mark.fault("F1")
def test_what_was_noted_outlives_a_killed_process(tmp_path: Path):
    program = f"""
import os, signal
from pathlib import Path
from test_worker_journal import *
notes = opened(Journals(Path({str(tmp_path)!r})).open("w:1:a", waves=1)).channel_notes
for index in range(3):
    notes.start(index)
notes.answer(0, Accepted())
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])

    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=False)

    found = read(Journals(tmp_path))
    assert done.returncode == -signal.SIGKILL
    assert found is not None
    assert [type(found[index]) for index in range(4)] == [Accepted, InDoubt, InDoubt, NotSent]


def test_a_worker_starts_nothing_more_of_a_wave_that_was_taken_over(tmp_path: Path):
    journals = Journals(tmp_path)
    journal = journals.open("w:1:a", waves=1)
    taken, others = opened(journal, number=0), opened(journal, number=1)
    began = taken.channel_notes.start(0)

    read(journals, lost(number=0))

    assert (began, taken.channel_notes.start(1), taken.revoked) == (True, False, True)
    assert (others.channel_notes.start(1), others.revoked) == (True, False)


@pytest.mark.parametrize(
    "wave",
    [lost("w:2:b"), lost("../secret.key"), lost(number=1), lost(chunk=1), lost(epoch=4)],
    ids=["another worker", "no worker", "another wave", "another chunk", "another claim"],
)
def test_nothing_is_known_of_waves_that_are_not_in_it(tmp_path: Path, wave: LostWave):
    journals = Journals(tmp_path)
    opened(journals.open("w:1:a", waves=1))

    assert read(journals, wave) is None


def test_a_settled_wave_is_forgotten(tmp_path: Path):
    journals = Journals(tmp_path)
    opened(journals.open("w:1:a", waves=1)).close()

    assert read(journals) is None


@pytest.mark.parametrize("field", ["magic", "version", "boot", "worker", "checksum"])
def test_a_journal_that_is_damaged_or_of_another_boot_is_not_relied_on(tmp_path: Path, field: str):
    opened(Journals(tmp_path).open("w:1:a", waves=1))
    file = tmp_path / DIRECTORY / "w:1:a"
    raw = file.read_bytes()
    at = {"magic": 0, "version": 8, "boot": raw.index(boot_id()), "worker": raw.index(b"w:1:a"), "checksum": 0}[field]
    at = at or (232 if field == "checksum" else 0)
    with file.open("r+b") as opened_file:
        opened_file.seek(at)
        opened_file.write(bytes([raw[at] ^ 1]))

    assert read(Journals(tmp_path)) is None


@pytest.mark.parametrize("size", [0, 100, HEAD_BYTES, HEAD_BYTES + 4_096])
def test_a_journal_that_was_cut_short_is_not_relied_on(tmp_path: Path, size: int):
    opened(Journals(tmp_path).open("w:1:a", waves=1))
    file = tmp_path / DIRECTORY / "w:1:a"
    file.write_bytes(file.read_bytes()[:size])

    assert read(Journals(tmp_path)) is None


@pytest.mark.parametrize(
    ("at", "value"), [(At.MARKS, bytes([len(Mark)])), (At.SENDS, struct.pack("=I", 501))], ids=["mark", "count"]
)
def test_a_slot_that_was_damaged_is_not_relied_on(tmp_path: Path, at: int, value: bytes):
    opened(Journals(tmp_path).open("w:1:a", waves=1))
    with (tmp_path / DIRECTORY / "w:1:a").open("r+b") as file:
        file.seek(HEAD_BYTES + at)
        file.write(value)

    assert read(Journals(tmp_path)) is None


def test_a_late_answer_of_a_settled_wave_says_nothing_about_the_next_one(tmp_path: Path):
    journals = Journals(tmp_path)
    journal = journals.open("w:1:a", waves=1)
    first, second = opened(journal, number=0), opened(journal, number=1)
    late = first.channel_notes
    first.close()
    second.close()
    opened(journal, number=2)

    late.answer(0, Accepted())
    started = late.start(1)

    found = read(journals, lost(number=2))
    assert not started
    assert found is not None
    assert all(isinstance(outcome, NotSent) for outcome in found.values())


def test_a_wave_that_was_left_open_keeps_its_notes_until_no_other_room_is_left(tmp_path: Path):
    journals = Journals(tmp_path)
    journal = journals.open("w:1:a", waves=1)
    opened(journal, number=0).leave()
    while_there_is_room = [opened(journal, number=1), read(journals, lost(number=0))]
    (taken,) = journals.take_over([lost(number=0)])
    opened(journal, number=2)

    assert while_there_is_room[1] is not None
    assert read(journals, lost(number=0)) is None
    assert taken is not None
    assert taken.read() is None
    assert journal.take() is NOTHING_NOTED


def test_a_journal_goes_with_a_worker_that_leaves_nothing_open(tmp_path: Path):
    tidy, untidy = Journals(tmp_path).open("w:1:a", waves=1), Journals(tmp_path).open("w:2:b", waves=1)
    opened(tidy).close()
    opened(untidy).leave()

    tidy.close()
    untidy.close()

    assert [path.name for path in (tmp_path / DIRECTORY).iterdir() if not path.name.startswith(".")] == ["w:2:b"]


@pytest.mark.fault("F10")
def test_room_is_claimed_at_once(tmp_path: Path):
    Journals(tmp_path).open("w:1:a", waves=4)

    stat = (tmp_path / DIRECTORY / "w:1:a").stat()
    assert stat.st_blocks * 512 >= stat.st_size
    assert stat.st_mode & 0o077 == 0
