"""`stentor demo`: one call reaches everyone who opted in, in front of your eyes."""

import asyncio
import shlex
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from stentor.audience.model import Act, Source
from stentor.cli.client import Called, Client, Seen
from stentor.cli.demo.crowd import Crowd
from stentor.cli.demo.show import Show
from stentor.cli.demo.story import CONTEXT, GENERATOR, TOPIC, Stage, set_the_stage
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import Exit, fail, print_json
from stentor.cli.premises import HOST, Premises, import_blocks, on_premises
from stentor.cli.processes import usual_port
from stentor.clock import Clock
from stentor.domain.address import email_digest
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.report.funnel import ChannelFunnel

PEOPLE = 127_450
"""As many as in the example that the demo re-enacts."""

_SOURCE = "the demo's crowd"
_POLL_EVERY_S = 0.02
_LOOK_EVERY_S = 0.1
_ENDS_WITHIN_S = 900.0
_LEAVERS_AT_ONCE = 4
_RELAY_ANSWERS_WITHIN_S = 5.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo measured; `held + handed_over + failed + unknown + Σ skipped = audience_size`."""

    customers: int
    audience_size: int
    skipped: dict[str, int]
    handed_over: int
    failed: int
    unknown: int
    held: int
    published_s: float
    handed_over_s: float
    peak_rss_mb: float

    @property
    def everyone_is_accounted_for(self) -> bool:
        """Whether the numbers add up."""
        settled = self.handed_over + self.failed + self.unknown + self.held + sum(self.skipped.values())
        return settled == self.audience_size


def run_demo(
    *, people: int, smtp: str | None, data: Path | None, port: int | None, exit_at_end: bool, as_json: bool
) -> None:
    """Runs the demo. With `exit_at_end` it ends after the last hand-over, else with Ctrl-C.

    `smtp` (host:port) takes the messages instead of the sandbox. Ends the command as failed unless everyone is accounted
    for.
    """
    demo = _Demo(Crowd(people), None if smtp is None else _host_and_port(smtp), Show(quiet=as_json))
    if demo.smtp is not None:
        _check_listens(*demo.smtp)
    if port is None:
        port = usual_port(HOST)
    outcome = on_premises(lambda premises: demo.play(premises, stay=not exit_at_end), data=data, port=port)
    if as_json:
        print_json(outcome)
    if not outcome.everyone_is_accounted_for:
        fail("The numbers do not add up to the audience. This is a defect; please report it with the line above.")


class _Demo:
    """One performance."""

    def __init__(self, crowd: Crowd, smtp: tuple[str, int] | None, show: Show) -> None:
        self._crowd = crowd
        self.smtp = smtp
        self._show = show

    async def play(self, premises: Premises, *, stay: bool) -> Outcome:
        """The whole show; with `stay` it is over when somebody ends it."""
        async with MemoryWatch(premises.data) as memory, premises.running():
            stage, customers = await self._prepare(premises)
            client = Client(premises.url, stage.brand, stage.key)
            try:
                called, published_s, end = await self._call(client)
            finally:
                self._show.end()
                client.close()
            outcome = _outcome(customers, called, published_s, end, memory.peak_mb)
            self._show.say(_summary(outcome))
            if stay:
                self._show.hand(_where_to_look(premises.url, stage, called.execution_id))
                await _until_cancelled()
            return outcome

    async def _prepare(self, premises: Premises) -> tuple[Stage, int]:
        started_at_s = time.monotonic()
        self._show.say(f"Making up {self._crowd.people:,} people who opted in, and some who did not …")
        stage = await set_the_stage(premises.services, self.smtp)
        brand_id = stage.brand.id
        with self._show.progress(self._crowd.lines) as move_on:
            people, choices = self._crowd.customers(), self._crowd.subscriptions(TOPIC)
            made = await import_blocks(premises, brand_id, "customers", _seen(people, move_on), source=_SOURCE)
            await import_blocks(premises, brand_id, "subscriptions", _seen(choices, move_on), source=_SOURCE)
        await _suppress(premises, stage, self._crowd.suppressed())
        await _leave(premises, stage, self._crowd.leavers())
        await premises.until_listening()
        self._show.say(f"{made.added:,} people are in, after {time.monotonic() - started_at_s:.1f} s. One POST:")
        return stage, made.added

    async def _call(self, client: Client) -> tuple[Called, float, Seen]:
        """Sends the one call and watches until its execution is over."""
        called = await client.run(GENERATOR, TOPIC, CONTEXT)
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                published_s = await self._until_published(client, called)
                return called, published_s, await self._until_ended(client, called)
        except TimeoutError:
            fail(f"Not everybody was reached within {_ENDS_WITHIN_S:.0f} s. Does the mail server answer?")

    async def _until_published(self, client: Client, called: Called) -> float:
        """Polls as a client of the API does, and returns how long it took."""
        look_at_s = 0.0
        while True:
            status = await client.status(called.execution_id)
            elapsed_s = called.elapsed_s
            if status == "published":
                return elapsed_s
            if status == "failed":
                fail(f"The execution {called.execution_id} failed; the log above says why.")
            if elapsed_s >= look_at_s:
                look_at_s = elapsed_s + _LOOK_EVERY_S
                await self._look(client, called)
            await asyncio.sleep(_POLL_EVERY_S)

    async def _until_ended(self, client: Client, called: Called) -> Seen:
        while True:
            seen = await self._look(client, called)
            if seen.state == "ended":
                return seen
            if seen.state in {"failed", "cancelled"}:
                fail(f"The execution {called.execution_id} was {seen.state} before everybody was reached.")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self, client: Client, called: Called) -> Seen:
        seen = await client.execution(called.execution_id)
        self._show.funnel(next(iter(seen.channels), None), called.elapsed_s, seen.state)
        return seen


def _seen(blocks: Iterable[bytes], move_on: Callable[[int], None]) -> Iterator[bytes]:
    """The blocks, each counted when the next one is asked for."""
    for block in blocks:
        yield block
        move_on(block.count(b"\n"))


async def _suppress(premises: Premises, stage: Stage, addresses: list[str]) -> None:
    entries = [OptOut(ChannelKind.EMAIL, email_digest(address), "import", "an older list") for address in addresses]
    async with premises.core.db.transaction() as conn:
        await add_to_builtin(conn, stage.brand.id, entries)


async def _leave(premises: Premises, stage: Stage, external_ids: list[str]) -> None:
    """They follow the link in an earlier message."""
    act = Act(source=Source.UNSUBSCRIBE_LINK, note="an earlier message")
    leaving = iter(external_ids)

    async def leave_in_turn() -> None:
        for external_id in leaving:
            person = customer_id(stage.brand.id, external_id)
            await premises.services.subscriptions.withdraw(stage.brand.id, person, stage.topic_id, act)

    async with asyncio.TaskGroup() as group:
        for _ in range(_LEAVERS_AT_ONCE):
            group.create_task(leave_in_turn())


async def _until_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        # Being ended is how the demo is meant to end.
        return


def _outcome(customers: int, called: Called, published_s: float, end: Seen, peak_rss_mb: float) -> Outcome:
    (email,) = end.channels or [ChannelFunnel("email")]
    ended_at = end.ended_at or Clock().now()
    return Outcome(
        customers=customers,
        audience_size=end.audience_size,
        skipped=email.skipped_by_reason,
        handed_over=email.handed_over,
        failed=email.failed,
        unknown=email.unknown,
        held=email.held,
        published_s=round(published_s, 3),
        handed_over_s=round(ended_at.timestamp() - called.sent_at_s, 3),
        peak_rss_mb=peak_rss_mb,
    )


def _summary(outcome: Outcome) -> str:
    return (
        f"\n{outcome.audience_size:,} people opted in. Published after {outcome.published_s:.2f} s, "
        f"the last of {outcome.handed_over:,} messages handed over after {outcome.handed_over_s:.2f} s, "
        f"in {outcome.peak_rss_mb:.0f} MB of memory."
    )


def _where_to_look(url: str, stage: Stage, execution_id: UUID) -> str:
    body = msgspec.json.encode({"topic_key": TOPIC, "context": CONTEXT}).decode()
    return f"""
Look at the messages:
  {url}/inbox/{stage.brand.id}

Read about the API:
  {url}/docs

Ask what became of the call:
  curl -H 'Authorization: Bearer {stage.key.token}' \\
    {url}/v1/groups/{stage.brand.id}/executions/{execution_id}

Call it again:
  curl -X POST {url}/smart-campaigns/v1/event-generators/{GENERATOR}/run \\
    -H 'x-api-key: {stage.key.api_key}' \\
    -H 'x-brand-key: {stage.brand.brand_key}' \\
    -H 'Content-Type: application/json' \\
    -d {shlex.quote(body)}

Be a partner that executes campaigns (docs/hub.md):
  curl -H 'X-API-KEY: {stage.partner.api_key}' \\
    '{url}/current/integrations/GetChannelTemplates?ChannelID=505'

Everything runs until you press Ctrl-C.
"""


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        fail(f"{text!r} is no mail server; write HOST:PORT, as 127.0.0.1:2525.", Exit.USAGE)
    return host.strip("[]"), int(port)


def _check_listens(host: str, port: int) -> None:
    # Deliveries would wait for a relay that is away; whoever types this wants to know now.
    try:
        socket.create_connection((host, port), timeout=_RELAY_ANSWERS_WITHIN_S).close()
    except OSError as error:
        fail(
            f"No mail server answers at {host}:{port}: {error}. Start it first, or leave --smtp away: then the sandbox takes the messages."
        )
