import json
import socket
from pathlib import Path

import pytest

from command_line import Command
from stentor.accounts.installation import SECRET_FILE
from stentor.cli.doctor.machine import check_data_directory, check_disk, check_environment, check_secret
from stentor.cli.doctor.network import check_port, check_public_url, check_trusted_proxies
from stentor.settings import Settings


def test_a_sound_installation_is_told_line_by_line(command: Command, tmp_path: Path):
    command("brand", "create", "Fan Club")

    examined = command("doctor", "--data", tmp_path, "--port", free_port(), "--json")

    told = json.loads(examined.stdout)
    assert examined.exit_code == 0
    assert told["well"] is True
    assert {line["check"]: line["state"] for line in told["checks"]} == {
        "environment": "ok",
        "data directory": "ok",
        "secret": "ok",
        "disk": "ok",
        "database": "ok",
        "clock": "ok",
        "schema": "ok",
        "senders": "warn",
        "list storage": "ok",
        "port": "ok",
        "public url": "warn",
        "trusted proxies": "ok",
    }
    assert all(line["advice"] for line in told["checks"] if line["state"] != "ok")


def test_what_is_bad_ends_the_command_as_failed(command: Command, tmp_path: Path):
    examined = command("doctor", "--data", tmp_path, "--port", free_port(), "--public-url", "http://news.example.com")

    assert examined.exit_code == 1
    assert "http://news.example.com is no public https address." in " ".join(examined.stdout.split())


def test_a_database_that_does_not_answer_is_bad(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STENTOR_DATABASE_URL", "postgresql://127.0.0.1:1/none")

    told = json.loads(command("doctor", "--data", tmp_path, "--port", free_port(), "--json").stdout)

    assert [line["state"] for line in told["checks"] if line["check"] == "database"] == ["bad"]
    assert told["well"] is False


def test_nothing_is_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STENTOR_SECRET", raising=False)
    data = tmp_path / "data"

    found = [check_data_directory(data), check_secret(Settings(), data), check_disk(data, Settings().min_free_bytes)]

    assert [finding.state for finding in found] == ["warn", "warn", "ok"]
    assert not data.exists()


def test_a_secret_that_others_can_read_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STENTOR_SECRET", raising=False)
    file = tmp_path / SECRET_FILE
    file.write_text("x" * 40)
    file.chmod(0o644)

    assert check_secret(Settings(), tmp_path).found == f"{file} can be read by others. Run `chmod 600 {file}`."


def test_a_data_directory_that_others_can_change_is_bad(tmp_path: Path):
    tmp_path.chmod(0o777)

    assert check_data_directory(tmp_path).state == "bad"


@pytest.mark.parametrize(
    ("url", "state"),
    [
        (None, "warn"),
        ("https://news.example.com", "ok"),
        ("https://news.example.com?a=b", "bad"),
        ("https://10.0.0.1", "bad"),
        ("https://localhost", "bad"),
        ("news.example.com", "bad"),
    ],
)
def test_links_must_lead_here_from_everywhere(url: str | None, state: str):
    assert check_public_url(url).state == state


@pytest.mark.parametrize(
    ("networks", "public_url", "state"),
    [
        ("", None, "ok"),
        ("", "https://news.example.com", "warn"),
        ("10.0.0.0/8, 192.168.0.0/16", "https://news.example.com", "ok"),
        ("10.0.0.1/8", None, "bad"),
        ("0.0.0.0/0", None, "bad"),
    ],
)
def test_callers_are_who_named_proxies_say_they_are(networks: str, public_url: str | None, state: str):
    assert check_trusted_proxies(networks, public_url).state == state


def test_a_setting_that_is_none_is_told():
    found = check_environment(["STENTOR_BATCHES", "STENTOR_CLAIMS", "stentor_port", "STENTOR_TEST_RUN", "PATH"])

    assert (found.state, found.found) == (
        "warn",
        "There is no setting STENTOR_BATCHES: what is said there is not heard.",
    )


def test_a_port_that_another_program_has_is_bad():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert check_port("127.0.0.1", taken.getsockname()[1]).state == "bad"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
