"""The HTTP provider that two topics go to, and what the nemesis lets it do wrong."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from stentor.testing.far_side import Then
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.http_script import Fault, Moment
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.proxy import ChaosProxy
from stentor.testing.torture.stage import Hook
from stentor.testing.waiting import eventually

SUBSCRIBERS = {"hooks": 300, "batches": 600}
"""One request for each message, and up to `BATCH_MAX` in one."""

BATCH_MAX = 50

_TROUBLE_S = 0.5
_BUSY_WITHIN_S = 3.0
_TIMES_MAX = 30

# Taken and then dropped, cut in the midst of a request; answers that no client should trust.
_DROPS = [Fault(then=Then.CUT), Fault(then=Then.CLOSE), Fault(at=Moment.BODY, then=Then.CUT)]
_GARBAGE = [
    Fault(raw="\x00\xff garbage\r\n\r\n", then=Then.CLOSE, takes=True),
    Fault(raw="HTTP/1.1 OK\r\n\r\n", then=Then.CLOSE),
    Fault(status=302, headers={"Location": "http://169.254.169.254/"}),
    Fault(status=500, body="\xff\xfe not UTF-8"),
    Fault(status=500, body_bytes=10_000_000),
    Fault(body_bytes=10_000_000),
]
_SLOW = [Fault(after_s=2.0), Fault(byte_s=0.02)]


def _refusal(draw: random.Random, *statuses: int) -> Fault:
    retry_after = draw.choice(["", "1", "2"])
    return Fault(status=draw.choice(statuses), headers={"Retry-After": retry_after} if retry_after else {})


TROUBLES: dict[str, Callable[[random.Random], Fault]] = {
    "http_429": lambda draw: _refusal(draw, 429),
    "http_5xx": lambda draw: _refusal(draw, 500, 502, 503, 504, 408),
    "http_drop": lambda draw: draw.choice(_DROPS),
    "http_slow": lambda draw: draw.choice(_SLOW),
    "http_silent": lambda _: Fault(then=Then.HANG),
    "http_garbage": lambda draw: draw.choice(_GARBAGE),
}
"""Each kind, and one of its variants drawn anew."""


class Provider:
    """The fake provider's process, the proxy in front of it, and its troubles."""

    def __init__(self, sink: HttpSinkProcess, proxy: ChaosProxy, chronicle: Chronicle, draw: random.Random) -> None:
        self.proxy = proxy
        self._sink = sink
        self._chronicle = chronicle
        self._draw = draw

    async def strike(self, kind: str) -> None:
        """For half a second, some requests meet it. A webhook in doubt is sent again, so nobody may be unknown for it.

        Only what was taken and not answered as usual may come once more.
        """
        await self._until_busy()
        fault = replace(TROUBLES[kind](self._draw), times=self._draw.randint(1, _TIMES_MAX))
        await asyncio.to_thread(self._sink.set_faults, [fault])
        await asyncio.sleep(_TROUBLE_S)
        taken = await asyncio.to_thread(self._sink.set_faults, [])
        self._chronicle.fault(kind, repeats=taken)

    async def _until_busy(self) -> None:
        with suppress(AssertionError):
            await eventually(lambda: any(link.is_busy for link in self.proxy.links), _BUSY_WITHIN_S)


def receivers(port: int) -> dict[str, Hook]:
    """The topics that go to the provider, as senders."""
    return {"hooks": Hook(port), "batches": Hook(port, batch_max=BATCH_MAX)}


def subscribers(draw: random.Random, people: int) -> dict[str, list[str]]:
    """Who is in those topics."""
    everybody = [f"fan-{number}" for number in range(people)]
    return {topic: draw.sample(everybody, size) for topic, size in SUBSCRIBERS.items()}
