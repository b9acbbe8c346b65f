"""The fake HTTP provider as a process of its own, with its ledger in a file."""

import random
from pathlib import Path

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import wave_of
from stentor.testing.far_side import Then
from stentor.testing.http_local import HttpSinkProcess, local_webhooks, webhook
from stentor.testing.http_script import Fault
from stentor.testing.torture.provider import TROUBLES

pytestmark = pytest.mark.anyio

WAVE = wave_of(ChannelKind.WEBHOOK)


@pytest.mark.parametrize("batch_max", [1, 10])
async def test_the_ledger_has_what_was_taken_also_when_no_answer_was_given(tmp_path: Path, batch_max: int):
    ledger = tmp_path / "hooked"
    with HttpSinkProcess(ledger) as sink:
        async with local_webhooks(sink.port, connections_max=1, batch_max=batch_max) as channel:
            outcomes: list[object] = []
            taken = []
            for number, fault in enumerate([Fault(), Fault(then=Then.CUT), Fault(status=503), Fault()]):
                taken.append(sink.set_faults([fault]))
                outcomes += await channel.hand_over(WAVE, [webhook(number, f"person{number}@example.com")])
            taken.append(sink.set_faults([]))
        counts = sink.stop()

    # Of requests that a fault struck, each time those before it.
    assert taken == [0, 1, 1, 0, 1]
    assert [type(outcome) for outcome in outcomes] == [Accepted, InDoubt, Deferred, Accepted]
    lines = [line.split(" ") for line in ledger.with_name("hooked.index").read_text().splitlines()]
    assert [(line[3], line[4]) for line in lines] == [(f"{n:060d}", f"person{n}@example.com") for n in (0, 1, 3)]
    assert [int(line[0]) for line in lines] == sorted(int(line[0]) for line in lines)
    first = int(lines[0][1]), int(lines[0][2])
    assert b'"person0@example.com"' in ledger.read_bytes()[first[0] : first[0] + first[1]]
    assert counts == {"messages": 3, "bytes": ledger.stat().st_size}


def test_every_trouble_of_the_torture_can_be_told_to_it(tmp_path: Path):
    draw = random.Random(1)
    with HttpSinkProcess(tmp_path / "hooked") as sink:
        for trouble in TROUBLES.values():
            sink.set_faults([trouble(draw) for _ in range(20)])
