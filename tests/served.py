"""Stentor as processes of its own: what the end-to-end tests and those of the documents share."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from stentor.testing import waiting

STENTOR = (sys.executable, "-P", "-m", "stentor")

# Busy machines take their time; what is waited for here takes a few seconds on a quiet one.
PATIENCE_S = 90.0

CONTEXT = {"match_name": "Reds vs Blues"}
RUN = "/smart-campaigns/v1/event-generators/match-starts/run"

_DEMO_IS_READY = "Everything runs until"
_SHOWN_BY_DEMO = {
    "API_KEY": re.compile(r"x-api-key: (\S+?)'"),
    "BRAND_KEY": re.compile(r"x-brand-key: (\S+?)'"),
    "STENTOR": re.compile(r"(http://127\.0\.0\.1:\d+)/docs"),
}


class Served:
    """A running `stentor serve`, its first brand's ids and keys, and a client that uses them."""

    def __init__(self, process: "subprocess.Popen[str]", told: dict[str, str], client: httpx.Client) -> None:
        self.process = process
        self.told = told
        self._client = client

    @property
    def exports(self) -> dict[str, str]:
        """What docs/start.md has its reader export."""
        return {
            "STENTOR": self.told["url"],
            "GROUP": self.told["group_id"],
            "TOKEN": self.told["token"],
            "API_KEY": self.told["api_key"],
            "BRAND_KEY": self.told["brand_key"],
        }

    def native(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """What the native API answers for the first brand."""
        headers = {"Authorization": f"Bearer {self.told['token']}"}
        answer = self._client.request(method, f"/v1/groups/{self.told['group_id']}{path}", headers=headers, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def run(self, topic_key: str) -> str:
        """The POST of a client; the execution's id."""
        headers = {"x-api-key": self.told["api_key"], "x-brand-key": self.told["brand_key"]}
        answer = self._client.post(RUN, headers=headers, json={"topic_key": topic_key, "context": CONTEXT})
        assert answer.status_code == 202, answer.text
        return answer.json()["execution_id"].removeprefix("exec-")

    def ended(self, execution_id: str) -> dict[str, Any]:
        """The execution when it is over."""
        return eventually(lambda: _over(self.native("GET", f"/executions/{execution_id}")))

    def pids(self, role: str) -> list[int]:
        """The processes of that role."""
        return [pid for pid in children(self.process.pid) if role.encode() in command(pid)]

    def stop(self) -> int:
        """Ends it as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(data: Path, *flags: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """`stentor serve` on a free port, ready; ended with the block if it still runs."""
    arguments = ("--data", str(data), "--port", "0", "--json", *flags)
    with _started("serve", *arguments, environment=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = msgspec.json.decode(process.stdout.readline())
        with httpx.Client(base_url=told["url"], timeout=PATIENCE_S) as client:
            yield Served(process, told, client)


@contextmanager
def demonstrating(people: int) -> Iterator[Mapping[str, str]]:
    """A `stentor demo` that has reached its people and keeps running; yields what it prints for its visitor."""
    with _started("demo", "--people", str(people), "--port", "0", stderr=subprocess.PIPE) as demo:
        assert demo.stderr is not None
        printed = ""
        for line in demo.stderr:
            printed += line
            if line.startswith(_DEMO_IS_READY):
                break
        found = {name: pattern.search(printed) for name, pattern in _SHOWN_BY_DEMO.items()}
        assert all(found.values()), printed
        yield {name: match[1] for name, match in found.items() if match}


def shell_with(told: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a reader's shell knows: nothing of other installations, and what was told."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STENTOR_")}
    return {**kept, **(told or {})}


@contextmanager
def _started(
    *arguments: str, environment: Mapping[str, str] | None = None, stdout: int | None = None, stderr: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*STENTOR, *arguments], env=shell_with(environment), text=True, stdout=stdout, stderr=stderr
    )
    try:
        yield process
    finally:
        process.terminate()
        # Reads on what it still prints: a full pipe would keep it from ending.
        process.communicate(timeout=PATIENCE_S)


def make_campaign(served: Served, topic_key: str, *, sender_id: str | None = None) -> None:
    """A topic and a published generator for it, whose mail says the match's name."""
    served.native("POST", "/topics", json={"key": topic_key, "name": topic_key, "channels": ["email"]})
    content = {"subject": "{{ context.match_name }}", "html": "<p>Soon</p>", "text": "Soon"}
    template = served.native(
        "POST",
        "/templates",
        json={"name": "Match starts", "channel": "email", "default_language": "en", "variants": {"en": content}},
    )
    route = {"channel": "email", "template_id": template["id"]} | ({"sender_id": sender_id} if sender_id else {})
    campaign = served.native("POST", "/campaigns", json={"name": "Match starts", "routes": [route]})
    schema = {"type": "object", "required": ["match_name"], "properties": {"match_name": {"type": "string"}}}
    served.native(
        "POST",
        "/event-generators",
        json={"id": "match-starts", "name": "G", "campaign_id": campaign["id"], "context_schema": schema},
    )
    served.native("POST", "/event-generators/match-starts/publish")


def add_fans(data: Path, folder: Path, topic_key: str, people: int) -> None:
    """That many people who opted in, by the import commands."""
    names = [f"fan-{number}" for number in range(people)]
    for noun, header, rows in (
        ("customers", "external_id,email", [f"{name},{name}@example.com" for name in names]),
        ("subscriptions", "external_id,topic", [f"{name},{topic_key}" for name in names]),
    ):
        file = folder / f"{noun}.csv"
        file.write_text("\n".join([header, *rows]) + "\n")
        command_on(data, noun, "import", str(file), "--brand", "My brand")


def command_on(data: Path, *arguments: str) -> None:
    """Runs another command on the same data directory."""
    subprocess.run([*STENTOR, *arguments, "--data", str(data)], check=True, timeout=PATIENCE_S)


def eventually(look: Any, within_s: float = PATIENCE_S) -> Any:
    """The first true answer, while the processes do their work."""
    return asyncio.run(waiting.eventually(look, within_s))


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    try:
        found = [task.joinpath("children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return []
    return [int(child) for text in found for child in text.split()]


def command(pid: int) -> list[bytes]:
    """The words that a process was started with; none when it is over."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return []


def is_over(pid: int) -> bool:
    """Whether the process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _over(execution: dict[str, Any]) -> dict[str, Any] | None:
    return execution if execution["state"] == "ended" else None
