"""What every request passes: ids, headers, limits, hostile bodies, errors that say what to do."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, TypeVar, cast

import httpx
import pytest
from litestar import Response, get
from litestar.response import Stream
from litestar.types import HTTPReceiveMessage, HTTPRequestEvent, Message
from prometheus_client import CollectorRegistry
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from structlog.testing import capture_logs

from api_world import Client, World, client_of
from stentor.api.app import REQUESTS_MAX, Door, create_app
from stentor.api.connection import ABORT
from stentor.api.docs.pages import EXPLAINED
from stentor.api.edge import ANSWER_WAIT_S_MAX, AnswerCutOff, Exchange
from stentor.api.metrics import RequestMetrics
from stentor.api.paging import Cursors
from stentor.api.problems import Failure, described
from stentor.api.proxies import client_address
from stentor.api.request import ApiRequest
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.slow_bodies import Deadlines
from stentor.db.pool import Database
from stentor.errors import Invalid
from stentor.forms import STREAM
from stentor.testing.torture.proxy import ChaosProxy
from stentor.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from litestar.types import HTTPScope

pytestmark = pytest.mark.anyio

T = TypeVar("T")

JSON = {"Content-Type": "application/json"}


async def test_a_sane_request_id_is_echoed_and_others_are_made(app_client: Client):
    kept = await app_client.get("/health", headers={"X-Request-Id": "req-9b2f"})
    made = [await app_client.get("/health", headers={"X-Request-Id": "a b\x7f"}) for _ in range(2)]

    assert kept.headers["x-request-id"] == "req-9b2f"
    assert len({answer.headers["x-request-id"] for answer in made}) == 2


async def test_every_answer_is_safe_to_show(app_client: Client):
    for path in ("/health", "/nope", "/docs", "/v1/groups/x/topics"):
        headers = (await app_client.get(path)).headers

        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_head_is_get_without_a_body(world: World):
    whole = await world.ask("GET", "/keys")
    head = await world.ask("HEAD", "/keys")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


async def test_options_and_wrong_methods_name_the_right_ones(world: World):
    options = await world.ask("OPTIONS", "/keys")
    wrong = await world.ask("PUT", "/keys")

    assert options.status_code == 204
    assert options.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert wrong.status_code == 405
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}
    assert wrong.json()["code"] == "method-not-allowed"


async def test_a_slash_at_the_end_changes_nothing(world: World):
    assert (await world.ask("GET", "/keys/")).json() == (await world.ask("GET", "/keys")).json()


async def test_a_problem_speaks_to_both_kinds_of_client(world: World):
    answer = await world.ask("POST", "/topics", json={"key": "", "name": "x", "channels": ["email"]})
    problem = answer.json()

    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == 400
    assert problem["type"] == "http://testserver.local/docs/problems#invalid-request"
    assert problem["violations"][0]["pointer"] == "/key"
    assert problem["errors"] == {"key": [problem["violations"][0]["message"]]}
    assert problem["message"] == problem["violations"][0]["message"]
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_every_problem_is_explained_where_its_type_leads(app_client: Client):
    page = (await app_client.get("/docs/problems")).text

    codes = {row.code for row in described()}
    assert codes == EXPLAINED.keys()
    assert {code for code in codes if f'id="{code}"' not in page} == set()


HOSTILE = {
    "nothing": b"",
    "deep": b'{"key":' + b"[" * 100_000,
    "deep and balanced": b'{"key":' + b"[" * 80 + b"]" * 80 + b"}",
    "huge number": b'{"key":1e400}',
    "many digits": b'{"key":' + b"9" * 5000 + b"}",
    "NaN": b'{"key":NaN}',
    "NUL escape": b'{"key":"a\\u0000b","name":"x","channels":["email"]}',
    "NUL byte": b'{"key":"a\x00b"}',
    "lone surrogate": b'{"key":"\\ud800"}',
    "bad UTF-8": b'{"key":"\xff\xfe","name":"x","channels":["email"]}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"key":"x"}'.encode("utf-16"),
    "trailing comma": b'{"key":"x",}',
    "comment": b'{"key":"x" // why\n}',
    "two values": b"{} {}",
    "wrong type": b'{"key":5,"name":"x","channels":["email"]}',
    "wrong inside a list": b'{"key":"x","name":"x","channels":["email",5]}',
    "unknown channel": b'{"key":"x","name":"x","channels":["pigeon"]}',
    "unknown field": b'{"key":"x","name":"x","channels":["email"],"nmae":"y"}',
    "missing field": b'{"key":"x"}',
    "array": b"[]",
    "null": b"null",
    "text": b'"x"',
    "control character": b'{"key":"a\\u0007","name":"x","channels":["email"]}',
    "too long": b'{"key":"' + b"x" * 201 + b'","name":"x","channels":["email"]}',
}


@pytest.mark.fault("S10", "S13")
async def test_hostile_json_gets_a_clear_400(world: World):
    answers = {name: await world.ask("POST", "/topics", content=body, headers=JSON) for name, body in HOSTILE.items()}

    assert {name for name, answer in answers.items() if answer.status_code != 400} == set()
    assert {name for name, answer in answers.items() if not answer.json()["violations"]} == set()
    assert {name for name, answer in answers.items() if "Traceback" in answer.text} == set()


async def test_the_pointer_leads_to_the_value(world: World):
    bodies = {
        "/key": b'{"key":5}',
        "/channels/1": b'{"key":"x","name":"x","channels":["email",5]}',
        "/na~0me~1": b'{"key":"x","na~me/":1}',
        "/name": b'{"key":"x","name":"a\\u0000b","channels":["email"]}',
    }

    found = [await world.ask("POST", "/topics", content=body, headers=JSON) for body in bodies.values()]

    assert [answer.json()["violations"][0]["pointer"] for answer in found] == list(bodies)


async def test_what_is_no_json_is_told_by_line_and_column(world: World):
    answer = await world.ask("POST", "/topics", content=b'{\n  "key": "x",\n}', headers=JSON)

    assert "line 3, column 1" in answer.json()["detail"]


async def test_an_escaped_escape_is_no_nul(world: World):
    body = rb'{"key":"x","name":"a\\u0000","channels":["email"]}'

    answer = await world.ask("POST", "/topics", content=body, headers=JSON)

    assert (answer.status_code, answer.json()["name"]) == (201, r"a\u0000")


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
     {"Content-Type": "application/json; charset=latin-1"}, {**JSON, "Content-Encoding": "gzip"}],
)  # fmt: skip
async def test_only_plain_json_is_read(world: World, headers: dict[str, str]):
    answer = await world.ask("POST", "/topics", content=b"{}", headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1e9", "limit=" + "9" * 30, "limit=", "page=0"]
)
async def test_a_wrong_parameter_is_named(world: World, query: str):
    answer = await world.ask("GET", f"/topics?{query}")

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"] == "/" + query.partition("=")[0]


@pytest.mark.fault("S13")
@pytest.mark.parametrize("path", ["/topics/%00", "/topics?cursor=%00", "/executions/%00", "/customers/%00/consents"])
async def test_a_nul_in_the_address_is_refused(world: World, path: str):
    assert (await world.ask("GET", path)).status_code == 400


async def test_a_parameter_that_a_list_does_not_have_is_refused_by_name(world: World):
    answer = await world.ask("GET", "/topics?limit=1&serach=a")

    assert answer.status_code == 400
    assert answer.json()["violations"][0]["pointer"] == "/serach"
    assert "limit" in answer.json()["detail"]


async def test_a_bug_of_ours_shows_nothing_of_itself(services: Services):
    @get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of ours")

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/broken", [broken])])
    async with client_of(app) as client:
        answer = await client.get("/broken")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_an_envelope_that_breaks_is_told_and_answered_in_our_own(services: Services):
    def broken(request: ApiRequest, failure: Failure) -> Response[str]:
        raise RuntimeError("a secret of ours")

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/broken", [], broken)])
    async with client_of(app) as client:
        with capture_logs() as logged:
            answers = [await client.get(path) for path in ("/broken/%00", "/broken/nowhere")]

    assert [answer.json()["code"] for answer in answers] == ["internal-error"] * 2
    assert "secret" not in answers[0].text
    assert [line["event"] for line in logged] == ["request.answer_failed"] * 2


@pytest.mark.fault("F3")
async def test_what_the_database_says_of_itself_goes_to_the_log_alone(services: Services):
    away = Database("host=127.0.0.1 port=1 dbname=private user=somebody", size=1)

    @get("/away")
    async def ask() -> None:
        await away.open()

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/away", [ask])])
    async with client_of(app) as client:
        with capture_logs() as logged:
            answer = await client.get("/away")

    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database does not answer. Try again in a moment."
    assert "127.0.0.1" in logged[-1]["detail"]


@pytest.mark.fault("F3")
async def test_while_the_database_is_away_every_call_hears_so_at_once(services: Services, database_dsn: str):
    server = {name: str(value) for name, value in conninfo_to_dict(database_dsn).items()}
    host, port = server["host"], server["port"]
    dial = ChaosProxy.to_socket(f"{host}/.s.PGSQL.{port}") if host.startswith("/") else ChaosProxy.to_port(int(port))

    @get("/asking")
    async def ask() -> None:
        async with db.read() as conn:
            await conn.execute("SELECT 1")

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/asking", [ask])])
    async with client_of(app) as client:
        async with dial as proxy:
            db = Database(make_conninfo(database_dsn, host="127.0.0.1", port=proxy.port, sslmode="disable"), size=2)
            await db.open()
            before = await client.get("/asking")
        began_s = time.monotonic()
        answers = [await client.get("/asking") for _ in range(4)]
        took_s = time.monotonic() - began_s
    await db.aclose()

    assert before.status_code == 200
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    # A second each, where a free connection is waited for five.
    assert took_s < 8


@pytest.mark.fault("F24")
async def test_a_process_with_all_that_it_takes_at_once_says_so_and_lives(services: Services):
    release = asyncio.Event()

    @get("/slow")
    async def slow() -> None:
        await release.wait()

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/slow", [slow])])
    async with client_of(app) as client, asyncio.TaskGroup() as group:
        for _ in range(REQUESTS_MAX):
            group.create_task(client.get("/slow"))
        refused = await eventually(lambda: _refused(client))
        alive = await client.get("/health")
        release.set()

    assert "retry-after" in refused.headers
    assert alive.status_code == 200


async def _refused(client: Client) -> httpx.Response | None:
    answer = await client.get("/nope")
    return answer if answer.status_code == 503 else None


def test_only_trusted_proxies_say_for_whom_they_speak():
    def seen(peer: str, forwarded: str, *trusted: str) -> str:
        scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
        return str(client_address(cast("HTTPScope", scope), [ip_network(network) for network in trusted]))

    assert seen("10.0.0.1", "203.0.113.9") == "10.0.0.1"
    assert seen("10.0.0.1", "203.0.113.9", "10.0.0.0/8") == "203.0.113.9"
    assert seen("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "10.0.0.0/8") == "203.0.113.9"
    assert seen("10.0.0.1", "nonsense", "10.0.0.0/8") == "10.0.0.1"
    assert seen("::ffff:10.0.0.1", "203.0.113.9", "10.0.0.0/8") == "203.0.113.9"
    assert seen("10.0.0.1", ", ".join(["10.0.0.3"] * 5000), "10.0.0.0/8") == str(ip_address("10.0.0.3"))


def test_a_cursor_opens_only_the_list_it_was_given_out_for():
    cursors = Cursors(b"a secret")
    cursor = cursors.sealed("/a", ["x", 1])

    assert cursors.opened("/a", cursor, tuple[str, int]) == ("x", 1)
    for of, text in [("/b", cursor), ("/a", cursor[:-1]), ("/a", cursor + "A"), ("/a", "")]:
        with pytest.raises(Invalid):
            cursors.opened(of, text, tuple[str, int])


async def test_it_is_ready_when_the_database_is_and_counts_what_it_answers(app_client: Client):
    ready = await app_client.get("/ready")
    await app_client.get("/nope-1")
    await app_client.get("/nope-2")
    series = (await app_client.get("/metrics")).text

    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert 'stentor_http_requests_total{method="GET",route="/ready",status="200"} 1.0' in series
    assert 'stentor_http_requests_total{method="-",route="unmatched",status="404"} 2.0' in series
    assert "nope" not in series
    # No list beside the built-in ones has any file.
    assert 'stentor_optout_files{kind="run"} 0.0' in series
    assert 'stentor_optout_jobs{state="queued"} 0.0' in series


async def test_the_root_leads_to_the_reference(app_client: Client):
    answer = await app_client.get("/", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_the_reference_needs_nobody_else(app_client: Client):
    document = (await app_client.get("/openapi.json")).json()
    page = (await app_client.get("/docs")).text

    assert document["openapi"] == "3.1.0"
    assert "http://" not in page.replace("https://example.org", "").replace("http://www.w3.org", "")
    assert "<script" not in page
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
            assert operation["summary"]
            assert "500" in operation["responses"]
    assert json.dumps(document).count("operationId") == len(
        {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}
    )


async def test_a_stream_that_breaks_off_is_closed(services: Services):
    closed = asyncio.Event()

    async def pages() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"more"
        finally:
            closed.set()

    @get("/endless")
    async def endless(request: ApiRequest) -> Stream:
        stream = request.scope["state"][STREAM] = pages()
        return Stream(stream)

    async def send(event: Message) -> None:
        if event["type"] == "http.response.body":
            raise BrokenPipeError

    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/endless", [endless])])
    with pytest.raises(Exception, match="response"):
        await app(cast("HTTPScope", _scope("/endless")), _endless_wait, send)

    assert closed.is_set()


async def test_a_stream_that_is_cut_off_ends_its_connection_and_is_no_fault(services: Services):
    @get("/endless")
    async def endless() -> Stream:
        return Stream(_more())

    async def send(event: Message) -> None:
        if event["type"] == "http.response.body":
            raise TimeoutError

    async def receive() -> HTTPReceiveMessage:
        await aborted.wait()
        return {"type": "http.disconnect"}

    aborted = asyncio.Event()
    scope = _scope("/endless") | {"extensions": {ABORT: {"now": aborted.set}}}
    app = create_app(services, ApiSettings(secret=b"s"), doors=[Door("/endless", [endless])])
    async with asyncio.timeout(10):
        await app(cast("HTTPScope", scope), receive, send)

    assert aborted.is_set()


async def _more() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"more"


async def test_who_does_not_read_a_stream_is_cut_off():
    class Late(Deadlines):
        async def until(self, deadline: float, awaited: Awaitable[T]) -> T:
            left_s.append(round(deadline - time.monotonic()))
            if len(left_s) < 3:
                return await awaited
            cast("Coroutine[None, None, T]", awaited).close()
            raise TimeoutError

    async def send(_: Message) -> None:
        sent.append(1)

    left_s: list[int] = []
    sent: list[int] = []
    scope = cast("HTTPScope", _scope("/any"))
    exchange = Exchange(scope, _endless_wait, send, metrics=RequestMetrics(CollectorRegistry()), deadlines=Late())
    part: Message = {"type": "http.response.body", "body": b"x", "more_body": True}

    await exchange.send(part)
    await exchange.send(part)
    for _ in range(2):
        with pytest.raises(AnswerCutOff):
            await exchange.send(part)

    assert left_s == [ANSWER_WAIT_S_MAX] * 3
    assert len(sent) == 2


def _scope(path: str) -> dict[str, object]:
    server = ("testserver.local", 80)
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": server,
    }


async def _endless_wait() -> HTTPRequestEvent:
    return await asyncio.get_running_loop().create_future()
