"""docs/webhooks.md has the settings of the code, and its receiver takes what the webhook sender sends."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from documents import ROOT
from stentor.channels.contract import Accepted, Deferred
from stentor.channels.webhook.settings import WebhookSettings
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import wave_of
from stentor.testing.http_local import SECRET, local_webhooks, webhook
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
WAVE = wave_of(ChannelKind.WEBHOOK)
MESSAGES = [webhook(number, f"person{number}@example.com") for number in range(3)]


@contextmanager
def receiver(port: int, secret: str) -> Iterator["subprocess.Popen[str]"]:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    environment = {**os.environ, "PORT": str(port), "SECRET": secret}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_setting_is_listed_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\| ", PAGE.partition("| setting |")[2], re.MULTILINE))

    fields = [field for field in msgspec.structs.fields(WebhookSettings) if field.name != "secrets"]
    listed = {name: rows[name] for name in (field.name for field in fields)}
    assert listed == {field.name: "" if field.required else str(field.default) for field in fields}


@pytest.mark.parametrize("batch_max", [1, 10])
async def test_its_receiver_takes_each_message_once_and_believes_nobody_else(batch_max: int):
    port = free_port()
    with receiver(port, SECRET) as process:
        await eventually(lambda: is_listening(port))
        outcomes = []
        for secrets in ("whsec_" + "b" * 32, f"whsec_{'b' * 32} {SECRET}", SECRET):
            async with local_webhooks(port, connections_max=1, batch_max=batch_max, secrets=secrets) as channel:
                outcomes.append({type(outcome) for outcome in await channel.hand_over(WAVE, MESSAGES)})
        process.kill()
        printed = process.stdout.read() if process.stdout else ""

    assert outcomes == [{Deferred}, {Accepted}, {Accepted}]
    assert printed == "".join(message.raw.decode().replace(":", ": ").replace(",", ", ") + "\n" for message in MESSAGES)
