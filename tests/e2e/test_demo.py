"""`stentor demo` from its POST to its last line, in which everyone must be accounted for."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from served import PATIENCE_S, STENTOR
from stentor.testing.smtp_local import SinkProcess

pytestmark = pytest.mark.timeout(300)


def demo(*arguments: str, temporary: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*STENTOR, "demo", "--exit", "--json", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
        env=os.environ | ({} if temporary is None else {"TMPDIR": str(temporary)}),
    )


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A place for temporary files of this test's own, which the database's user can reach."""
    with tempfile.TemporaryDirectory(prefix="st") as place:
        Path(place).chmod(0o755)
        yield Path(place)


def test_one_call_reaches_everyone_and_the_numbers_add_up(temporary: Path):
    shown = demo("--people", "1000", temporary=temporary)

    assert shown.returncode == 0, shown.stderr
    told = msgspec.json.decode(shown.stdout.splitlines()[-1])
    assert set(told) == {
        "customers",
        "audience_size",
        "skipped",
        "handed_over",
        "failed",
        "unknown",
        "held",
        "published_s",
        "handed_over_s",
        "peak_rss_mb",
    }
    assert told["audience_size"] == 1000
    assert told["customers"] > 1000
    assert set(told["skipped"]) == {"suppressed", "no_address", "invalid_address"}
    assert told["held"] + told["handed_over"] + told["failed"] + told["unknown"] + sum(told["skipped"].values()) == 1000
    assert told["handed_over"] > 950
    assert 0 < told["published_s"] <= told["handed_over_s"]
    assert 0 < told["peak_rss_mb"] <= 600
    assert list(temporary.iterdir()) == []


def test_a_mail_server_takes_the_messages_instead_of_the_sandbox(tmp_path: Path):
    with SinkProcess(tmp_path / "mail") as sink:
        shown = demo("--people", "300", "--smtp", f"127.0.0.1:{sink.port}")
        stored = list(sink.stored())

    told = msgspec.json.decode(shown.stdout.splitlines()[-1])
    assert told["handed_over"] == len(stored) == len({message.recipient for message in stored}) > 280


def test_a_mail_server_without_a_port_is_wrong_usage():
    refused = demo("--smtp", "127.0.0.1")

    assert refused.returncode == 2
    assert refused.stderr == "stentor: '127.0.0.1' is no mail server; write HOST:PORT, as 127.0.0.1:2525.\n"


def test_a_mail_server_that_does_not_answer_is_told_of_before_anything_is_made():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = demo("--smtp", f"127.0.0.1:{nobody.getsockname()[1]}")

    assert refused.returncode == 1
    assert "Connection refused. Start it first, or leave --smtp away" in refused.stderr
