"""The page of an execution: everybody accounted for, with the numbers of the API and of the CSV, and what can be ordered there."""

import asyncio
import csv
import html
import io
import re
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from httpx import AsyncClient, Response

from console_world import OWN, ConsoleWorld, a_campaign, a_run
from stentor.audience.model import CustomerPatch
from stentor.audience.segments import expressions as ex
from stentor.channels.contract import Accepted, InDoubt, Message, Outcome, Rejected
from stentor.executions.remedies import carry_out_next
from stentor.testing.engine import Engine, ScriptedChannel

pytestmark = pytest.mark.anyio

STATES = ("handed_over", "pending", "held", "failed", "unknown", "skipped")
HOSTILE = "=cmd|'<b>/x"


def answer(message: Message) -> Outcome:
    if "dead" in message.address:
        return Rejected("550 <script>alert(1)</script> does not exist")
    return InDoubt("(connection closed)") if "lost" in message.address else Accepted()


class Run:
    """A campaign's run for five people, one of them without an address, one with a hostile id."""

    def __init__(self, console: ConsoleWorld, execution_id: UUID) -> None:
        self.console, self.id = console, execution_id
        self.engine = Engine(console.services.database, ScriptedChannel(answer))

    @classmethod
    async def made(cls, console: ConsoleWorld, answering: Callable[[Message], Outcome] = answer) -> "Run":
        services, brand = console.services, console.brand.id
        people = {"ann": "ann", "dead": "dead", "lost": "lost", HOSTILE: "hostile"}
        for name, address in people.items():
            patch = CustomerPatch(external_id=name, email=f"{address}@example.org")
            await services.customers.upsert(brand, patch)
        await services.customers.upsert(brand, CustomerPatch(external_id="nowhere"))
        segment = await services.segments.create(brand, "Everybody", ex.Sample(share=1))
        campaign = await a_campaign(console, brand, name="<i>Sale</i>")
        run = cls(console, await a_run(console, campaign.id, segment.id))
        run.engine = Engine(services.database, ScriptedChannel(answering))
        return run

    @property
    def path(self) -> str:
        return f"{self.console.root}/executions/{self.id}"

    async def do(self, at: AsyncClient, order: str, **typed: str) -> Response:
        """The answer to a button of the page: `cancel 3`, and what was typed beside it."""
        page = await at.get(self.path)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None
        fields = {f"typed-{name}": text for name, text in typed.items()}
        return await at.post(f"{self.path}/do", data={"form_token": token[1], "do": order, **fields}, headers=OWN)


def ledger_in(page: Response) -> dict[str, int]:
    """The figures of the page's equation."""
    panel = page.text[page.text.index('id="ledger"') :]
    panel = panel[: panel.index("</section>")]
    terms = re.findall(r"</svg>([a-z ]+)</dt><dd>(?:<a [^>]*>)?([\d,]+)", panel)
    return {name.replace(" ", "_"): int(figure.replace(",", "")) for name, figure in terms}


async def test_page_api_and_csv_say_the_same_numbers(console: ConsoleWorld):
    run = await Run.made(console)
    await run.engine.drain()
    at = await console.enters("viewer")
    key = await console.services.accounts.create_key("k", brand_id=console.brand.id, scopes=("read",))
    api = await at.get(
        f"/v1/groups/{console.brand.id}/executions/{run.id}", headers={"Authorization": f"Bearer {key.token}"}
    )
    (told,) = api.json()["channels"]

    page = await at.get(run.path)
    shown = ledger_in(page)
    rows = list(csv.DictReader(io.StringIO((await at.get(f"{run.path}/people.csv")).text)))

    assert shown == {state: told[state] for state in STATES}
    assert sum(shown.values()) == told["audience"] == len(rows) == 5
    assert {state: sum(row["state"] == state for row in rows) for state in STATES} == shown
    assert [row["external_id"] for row in rows if "cmd" in row["external_id"]] == [f"'{HOSTILE}"]
    for state, counted in (("skipped", told["skipped_by_reason"]), ("failed", told["failed_by_reason"])):
        for reason, people in counted.items():
            query = f"state={state}&reason={reason}"
            assert f"people?state={state}&amp;reason={reason}" in page.text
            of_reason = (await at.get(f"{run.path}/people.csv?{query}")).text.splitlines()[1:]
            listed = await at.get(f"{run.path}/people?{query}")
            assert len(of_reason) == people == listed.text.count("why, check by check")
            assert f"<b>{people}</b> by the counters" in listed.text
    assert "&lt;i&gt;Sale&lt;/i&gt;" in page.text
    assert "<script>alert(1)" not in page.text
    assert "They may or may not have it" in page.text
    assert "Authorization: Bearer $STENTOR_KEY" in html.unescape(page.text)
    assert key.token not in page.text


async def test_each_person_has_their_story_and_their_message(console: ConsoleWorld):
    run = await Run.made(console)
    await run.engine.drain()
    at = await console.enters("viewer")

    listed = await at.get(f"{run.path}/people?channel=email")
    for name in re.findall(r'href="([^"]+)">why, check by check', listed.text):
        assert (await at.get(html.unescape(name))).status_code == 200
    person = await at.get(f"{run.path}/people/ann")
    frame = await at.get(f"{run.path}/people/ann/email")
    chance = await at.get(f"{run.path}/person")
    missing = await at.get(f"{run.path}/people/nobody")

    assert "Made once more" in person.text
    assert f'src="{run.path}/people/ann/email"' in person.text
    assert "<p>Hello</p>" in frame.text
    assert frame.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert chance.status_code == 303
    assert (await at.get(chance.headers["location"])).status_code == 200
    assert missing.status_code == 404


async def test_orders_do_what_they_name_for_whom_they_named(console: ConsoleWorld):
    run = await Run.made(console)
    await run.engine.plan()
    at, viewer = await console.enters("marketer"), await console.enters("viewer")
    executions, brand = console.services.executions, console.brand.id

    async def standing() -> tuple[str, bool]:
        found = (await executions.overview(brand, run.id)).execution
        return found.state, found.paused_at is not None

    assert (await run.do(at, "pause")).status_code == 303
    assert await standing() == ("sending", True)
    assert "It is paused" in (await at.get(run.path)).text
    assert (await run.do(at, "pause")).status_code == 409
    assert (await run.do(at, "resume")).status_code == 303
    assert await standing() == ("sending", False)
    assert (await run.do(viewer, "pause")).status_code == 403
    assert 'value="pause"' not in (await viewer.get(run.path)).text
    await run.engine.drain()
    page = await at.get(run.path)
    assert "Retry 1 of 1 failed" in page.text
    assert "Resolve 1 unknown" in page.text
    assert (await run.do(at, "retry 0")).status_code == 409
    assert (await run.do(at, "failed 20000")).status_code == 400
    assert (await run.do(at, "failed 20000", resolve="20,000")).status_code == 303
    assert (await run.do(at, "retry 1")).status_code == 303
    while await carry_out_next(console.services.database):
        pass
    (counted,) = (await executions.overview(brand, run.id)).channels
    assert (counted.unknown, counted.pending, counted.failed) == (0, 1, 1)
    assert (await run.do(at, "cancel 1")).status_code == 303
    assert (await standing())[0] == "cancelled"
    assert (await run.do(at, "nothing")).status_code == 400


async def test_the_list_is_narrowed(console: ConsoleWorld):
    run = await Run.made(console)
    at = await console.enters("viewer")
    link = f'href="{run.path}"'
    campaign = (await console.services.executions.find(console.brand.id, run.id)).campaign_id

    for query in ("", "state=running", f"campaign={campaign}", "trigger=KEY", "state=nonsense"):
        assert link in (await at.get(f"{console.root}/executions?{query}")).text, query
    for query in ("state=ended", f"campaign={run.id}", "trigger=%25", f"before={run.id}"):
        assert link not in (await at.get(f"{console.root}/executions?{query}")).text, query
    assert (await at.get(f"{console.root}/executions/{console.brand.id}")).status_code == 404


async def test_a_run_that_follows_another_one_says_of_which(console: ConsoleWorld):
    run = await Run.made(console)
    async with console.services.database.autocommit() as conn:
        await conn.execute(
            "UPDATE execution SET audience = jsonb_build_object('kind', 'rest', 'execution_id', id, 'arm', 0)"
        )
    page = await (await console.enters("viewer")).get(run.path)

    assert "who waited for the winner of" in page.text
    assert "No single call repeats it" in page.text


async def first_event(console: ConsoleWorld, at: AsyncClient, path: str) -> str:
    """What a stream says first to a reader who leaves after that."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    begun, left = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if begun.is_set():
            await left.wait()
            return {"type": "http.disconnect"}
        begun.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        heard.put_nowait(message.get("body", b""))

    request = at.build_request("GET", path)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("stentor.example.org", 443),
        "client": ("192.0.2.7", 50_000),
    }
    answering = asyncio.create_task(cast("Any", console.app)(scope, receive, send))
    said = b""
    while b"data: {" not in said or not said.endswith(b"\r\n\r\n"):
        said += await heard.get()
    left.set()
    await answering
    return said.decode()


async def test_what_moves_is_drawn_for_everybody_alike_and_holds_no_form(console: ConsoleWorld):
    run = await Run.made(console)
    await run.engine.drain()
    at = await console.enters("marketer")
    page = await at.get(run.path)
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert token is not None

    told = await first_event(console, at, f"{run.path}/live")

    parts = msgspec.json.decode("{" + told.partition("data: {")[2].splitlines()[0], type=dict[str, str])
    assert {
        "state",
        "orders",
        "ledger",
        "funnel",
        "reasons",
        "limits",
        "channels",
        "books",
        "pace-figure",
    } == parts.keys()
    assert token[1] not in told
    for part, drawn in parts.items():
        assert f'id="{part}"' in page.text
        assert "<form" not in drawn
        # What it is sent is what stood there: nothing moves unless it changed.
        assert "".join(drawn.split()) in "".join(page.text.split()), part
