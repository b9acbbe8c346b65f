"""The scripted server as a process of its own, with its ledger in a file."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stentor.channels.contract import Accepted, InDoubt
from stentor.testing.channels import mail, wave_of
from stentor.testing.far_side import Then
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import At, Fault

pytestmark = pytest.mark.anyio


async def test_the_ledger_has_what_was_taken_also_when_no_reply_was_given(tmp_path: Path) -> None:
    script, ledger = tmp_path / "script.json", tmp_path / "ledger"
    script.write_bytes(msgspec.json.encode([Fault(at=At.FINAL, to="lost@", then=Then.CUT, takes=True)]))
    module = ["-m", "stentor.testing.smtp_faults", "--script", str(script), "--ledger", str(ledger)]
    process = await asyncio.create_subprocess_exec(sys.executable, *module, stdout=subprocess.PIPE)
    assert process.stdout
    port = json.loads(await process.stdout.readline())["port"]
    async with local_channel(port, connections_max=1) as channel:
        outcomes = await channel.hand_over(wave_of(), [mail(0, "ann@example.com"), mail(1, "lost@example.com")])
    process.terminate()
    await process.wait()

    assert [type(outcome) for outcome in outcomes] == [Accepted, InDoubt]
    taken = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    assert [entry["recipient"] for entry in taken] == ["ann@example.com", "lost@example.com"]
    assert [entry["body"].encode("latin-1") for entry in taken] == [
        mail(0, "ann@example.com").raw,
        mail(1, "lost@example.com").raw,
    ]
    assert taken[0]["at_ns"] <= taken[1]["at_ns"]
