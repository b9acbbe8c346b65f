import base64
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from browsing import all_scripts_are_ours, form_token, submit, without_nonce
from sandbox_letters import SEND_IDS, Letter, deliver, letter, reassemble, wave_for
from stentor.accounts.devices import Devices
from stentor.accounts.model import Brand
from stentor.accounts.sessions import SessionService
from stentor.accounts.user_model import Origin
from stentor.api.app import Door, create_app
from stentor.api.problems import status_of
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.clock import Clock
from stentor.console.access import COOKIE, COOKIE_S, InboxAccess
from stentor.console.inbox import InboxPages
from stentor.console.pages import static_routes
from stentor.console.visits import Visits
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:8080"
PUBLIC = "https://stentor.example.org"
OWN_FORM = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
HOSTILE = (
    "<script>parent.document.title='taken'</script><img src=x onerror=alert(1)><img src=https://tracker.example/p.gif>"
    '<a href="javascript:alert(1)">bad</a><a href="https://example.com/good?a=1&amp;b=2">good <b>link</b></a>'
    '<form action="https://evil.example"><input></form><iframe src="https://evil.example"></iframe>'
)

Open = Callable[..., AsyncClient]


@pytest.fixture
def sandbox(db: Database) -> SandboxChannel:
    return SandboxChannel(db, ChaosSource(db))


@pytest.fixture
async def brand(services: Services) -> Brand:
    return await services.accounts.create_brand("Matchday <b>&</b>")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def browser(services: Services, db: Database, clock: Clock) -> AsyncIterator[Open]:
    """A browser at some address, in front of a server that was started in some way."""
    opened: list[AsyncClient] = []

    def at(
        base: str = HERE, *, client: str = "127.0.0.1", host: str = "127.0.0.1", public_url: str = ""
    ) -> AsyncClient:
        visits = Visits(
            SessionService(db, bytes(32)),
            Devices(bytes(32), Clock()),
            form_key=bytes(32),
            is_secure=bool(public_url),
            origin_of=lambda _: Origin(client),
            status_of=status_of,
        )
        access = InboxAccess(
            services.keys, services.brands, visits, clock, secret=bytes(32), host=host, public_url=public_url
        )
        pages = InboxPages(InboxService(db, SEND_IDS, reassemble), services.accounts, access, visits, clock)
        doors = [Door("/inbox", [pages.routes()], pages.error_page), Door("/console", [static_routes()])]
        app = create_app(services, ApiSettings(secret=b"a secret for tests"), doors=doors)
        transport = ASGITransport(app=app, client=(client, 50_000), raise_app_exceptions=False)  # pyrefly: ignore[bad-argument-type]
        opened.append(AsyncClient(transport=transport, base_url=base))
        return opened[-1]

    yield at
    for one in opened:
        await one.aclose()


async def send(db: Database, sandbox: SandboxChannel, brand: Brand, **said: Any) -> Letter:
    one = letter(brand.id, **said)
    await deliver(db, sandbox, wave_for(brand.id, SEND_IDS.decode(one.send_id)[2]), [one])
    return one


async def hostile_mail(db: Database, sandbox: SandboxChannel, brand: Brand) -> Letter:
    return await send(db, sandbox, brand, address="eve@example.com", subject="<script>x</script>", body=HOSTILE)


# --- what is shown --------------------------------------------------------------------------------------------------


async def test_the_list_shows_who_got_what_and_leads_to_each_message(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await send(db, sandbox, brand, address="ann@example.com", subject="Kick-off")

    page = await browser().get(f"/inbox/{brand.id}")

    assert page.status_code == 200
    assert "ann@example.com" in page.text
    assert f'href="/inbox/{brand.id}/{mail.send_id}"' in page.text


async def test_a_search_and_a_channel_narrow_the_list(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    await send(db, sandbox, brand, address="ann@example.com")
    await send(db, sandbox, brand, address="+14155550123", channel=ChannelKind.SMS, subject="")

    searched = await browser().get(f"/inbox/{brand.id}", params={"search": "ANN"})
    texts = await browser().get(f"/inbox/{brand.id}", params={"channel": "sms"})
    nothing = await browser().get(f"/inbox/{brand.id}", params={"search": "nobody"})

    assert ("ann@example.com" in searched.text, "+14155550123" in searched.text) == (True, False)
    assert ("ann@example.com" in texts.text, "+14155550123" in texts.text) == (False, True)
    assert "Nothing matches" in nothing.text


async def test_older_messages_are_on_further_pages(browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand):
    wave = [letter(brand.id, f"person{number}@example.com") for number in range(60)]
    await deliver(db, sandbox, wave_for(brand.id), wave)

    first = await browser().get(f"/inbox/{brand.id}")
    older = re.search(r'href="(/inbox/[^"]*before=[^"]*)">Older', first.text)
    assert older is not None
    second = await browser().get(older[1].replace("&amp;", "&"))

    shown = [set(re.findall(r"person\d+@example\.com", page.text)) for page in (first, second)]
    assert [len(people) for people in shown] == [50, 10]
    assert not shown[0] & shown[1]


async def test_a_place_in_the_list_that_is_none_begins_anew_or_says_so(browser: Open, brand: Brand):
    invented = await browser().get(f"/inbox/{brand.id}", params={"before": "x"})
    forged = await browser().get(f"/inbox/{brand.id}", params={"before": "1700000000000000-" + "a" * 60})
    late = await browser().get(f"/inbox/{brand.id}", params={"before": "9" * 17 + "-" + "a" * 60})

    assert [answer.status_code for answer in (invented, forged, late)] == [200, 400, 400]


@pytest.mark.parametrize(
    ("channel", "content", "body", "seen"),
    [
        (ChannelKind.SMS, b"\x00", "Starts at 13:00", 'class="bubble">Starts at 13:00'),
        (ChannelKind.PUSH, b'{"title":"Kick-off","body":"\x00"}', "In 15 minutes", "<p>In 15 minutes</p>"),
        (ChannelKind.VOICE, b"\x00", "Good evening, Marcus.", 'class="script">Good evening, Marcus.'),
        (ChannelKind.WEBHOOK, b'{"event":"\x00"}', "match", "&#34;event&#34;: &#34;match&#34;"),
    ],
)
async def test_each_channel_is_shown_as_a_person_would_see_it(
    browser: Open,
    db: Database,
    sandbox: SandboxChannel,
    brand: Brand,
    channel: ChannelKind,
    content: bytes,
    body: str,
    seen: str,
):
    one = await send(db, sandbox, brand, address="somebody", subject="", channel=channel, content=content, body=body)

    page = await browser().get(f"/inbox/{brand.id}/{one.send_id}")

    assert page.status_code == 200
    assert seen in page.text


async def test_a_mail_has_its_text_headers_source_and_links(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await send(db, sandbox, brand, body='<a href="https://example.com/x">Watch</a>', subject="Kick-off")
    here = f"/inbox/{brand.id}/{mail.send_id}"

    seen, text, headers, source, raw = [
        await browser().get(here + view) for view in ("", "?view=text", "?view=headers", "?view=source", "/raw")
    ]

    assert f'src="{here}/html"' in seen.text
    assert 'href="https://example.com/x"' in seen.text
    assert "&lt;a href=" in text.text
    assert "<dt>Subject</dt>" in headers.text
    assert "multipart/alternative" in source.text
    assert raw.content == mail.wire()
    assert raw.headers["content-disposition"] == f'attachment; filename="{mail.send_id}.eml"'
    assert raw.headers["content-type"] == "application/octet-stream"


# --- hostile messages -----------------------------------------------------------------------------------------------


async def test_the_html_of_a_message_is_framed_without_scripts_forms_origin_or_network(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await hostile_mail(db, sandbox, brand)

    preview = await browser().get(f"/inbox/{brand.id}/{mail.send_id}/html")

    assert preview.headers["content-security-policy"].split("; ") == [
        "sandbox",
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]
    assert preview.headers["x-content-type-options"] == "nosniff"
    assert HOSTILE in preview.text


async def test_remote_pictures_are_loaded_only_when_asked_for_and_nothing_else_is(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await hostile_mail(db, sandbox, brand)

    page = await browser().get(f"/inbox/{brand.id}/{mail.send_id}?remote=yes")
    preview = await browser().get(f"/inbox/{brand.id}/{mail.send_id}/html?remote=yes")

    policy = preview.headers["content-security-policy"]
    assert "/html?remote=yes" in page.text
    assert "img-src data: https: http:;" in policy
    assert policy.startswith("sandbox; default-src 'none';")


async def test_nothing_of_a_message_becomes_part_of_our_page(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await hostile_mail(db, sandbox, brand)
    pages = [
        f"/inbox/{brand.id}",
        *(f"/inbox/{brand.id}/{mail.send_id}?view={view}" for view in ("seen", "text", "source", "headers")),
    ]

    for path in pages:
        page = await browser().get(path)
        policy = page.headers["content-security-policy"]
        assert all_scripts_are_ours(page), path
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert 'href="javascript:' not in page.text
        assert "style=" not in page.text
        assert "Matchday <b>" not in page.text


async def test_the_frame_is_sandboxed_by_its_page_too(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await hostile_mail(db, sandbox, brand)

    page = await browser().get(f"/inbox/{brand.id}/{mail.send_id}")

    (frame,) = re.findall(r"<iframe [^>]*>", page.text)
    assert " sandbox " in frame
    assert "allow-" not in frame


# --- who may look ---------------------------------------------------------------------------------------------------


async def test_a_fresh_installation_is_open_to_its_own_machine(browser: Open, brand: Brand):
    at = browser()

    for host in ("127.0.0.1:8080", "localhost:8080", "localhost.:8080", "[::1]:8080"):
        assert (await at.get(f"/inbox/{brand.id}", headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize("started", [{"client": "192.0.2.7"}, {"host": "0.0.0.0"}, {"public_url": PUBLIC}])
async def test_from_anywhere_else_a_key_is_asked_for(browser: Open, brand: Brand, started: dict[str, str]):
    page = await browser(**started).get(f"/inbox/{brand.id}")

    assert page.status_code == 401
    assert 'name="key"' in page.text
    assert "Matchday" not in page.text


async def test_a_proxy_or_a_name_that_was_made_to_lead_here_is_not_this_machine(browser: Open, brand: Brand):
    at = browser()
    foreign = [
        {"Host": "rebound.example.net"},
        {"Host": "127.0.0.1.example.net"},
        {"Host": "127.0.0.1@example.net"},
        {"Host": ""},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ]

    for headers in foreign:
        assert (await at.get(f"/inbox/{brand.id}", headers=headers)).status_code == 401, headers


async def test_whether_a_brand_exists_is_not_told_to_strangers(browser: Open, brand: Brand):
    outside = browser(client="192.0.2.7")

    there = await outside.get(f"/inbox/{brand.id}")
    missing = await outside.get("/inbox/00000000-0000-0000-0000-000000000000")
    senseless = await outside.get("/inbox/nothing")

    assert [answer.status_code for answer in (there, missing, senseless)] == [401, 401, 401]
    unnamed = without_nonce(there).replace(str(brand.id), "")
    assert unnamed == without_nonce(missing).replace("00000000-0000-0000-0000-000000000000", "")


def with_cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={value}"}


async def _logged_in(open_at: AsyncClient, brand: Brand, key: str) -> Response:
    return await submit(open_at, f"/inbox/{brand.id}", f"/inbox/{brand.id}/key", key=key)


async def test_a_key_opens_the_inbox_of_its_brand_and_no_other(
    browser: Open, services: Services, brand: Brand, db: Database, sandbox: SandboxChannel
):
    mail = await send(db, sandbox, brand)
    other = await services.accounts.create_brand("Other")
    key = await services.accounts.create_key("inbox", brand_id=brand.id, scopes=["read"])
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)

    answer = await _logged_in(at, brand, f" {key.token} ")
    shown = await at.get(f"/inbox/{brand.id}")
    foreign = await at.get(f"/inbox/{other.id}", headers=with_cookie(at.cookies[COOKIE]))
    across = await at.get(f"/inbox/{other.id}/{mail.send_id}")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/inbox/{brand.id}")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=strict", f"Path=/inbox/{brand.id}"))
    assert key.api_key not in cookie
    assert shown.status_code == 200
    assert [foreign.status_code, across.status_code] == [401, 401]


async def test_a_wrong_key_opens_nothing(browser: Open, services: Services, brand: Brand):
    other = await services.accounts.create_brand("Other")
    keys = [
        "",
        "st_wrong",
        "x" * 3000,
        (await services.accounts.create_key("other", brand_id=other.id, scopes=["admin"])).token,
        (await services.accounts.create_key("run only", brand_id=brand.id, scopes=["run"])).token,
    ]
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)

    for key in keys:
        answer = await _logged_in(at, brand, key)
        assert answer.status_code == 401
        assert COOKIE not in answer.headers.get("set-cookie", "")
        assert 'role="alert"' in answer.text


UNREADABLE = {
    "no UTF-8": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    "no charset": b'--b\r\nContent-Disposition: form-data; name="key"\r\nContent-Type: text/plain; charset=utf-99\r\n\r\nx'
    b"\r\n--b--\r\n",
    "a file": b'--b\r\nContent-Disposition: form-data; name="key"; filename="x"\r\n\r\nx\r\n--b--\r\n',
}


@pytest.mark.parametrize("form", UNREADABLE)
async def test_a_form_that_cannot_be_read_holds_no_key(browser: Open, brand: Brand, form: str):
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)

    answer = await at.post(
        f"/inbox/{brand.id}/key",
        content=UNREADABLE[form],
        headers={"Origin": PUBLIC, "Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.status_code == 403


async def test_a_revoked_key_closes_the_inbox(browser: Open, services: Services, brand: Brand):
    key = await services.accounts.create_key("inbox", brand_id=brand.id, scopes=["read"])
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)
    await _logged_in(at, brand, key.token)

    await services.accounts.revoke_key(brand.organisation_id, key.number)

    async def is_closed() -> bool:
        return (await at.get(f"/inbox/{brand.id}")).status_code == 401

    assert await eventually(is_closed, within_s=3)


async def test_a_cookie_opens_for_twelve_hours_and_cannot_be_made_or_moved(
    browser: Open, services: Services, brand: Brand, clock: Clock
):
    key = await services.accounts.create_key("inbox", brand_id=brand.id, scopes=["read"])
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)
    await _logged_in(at, brand, key.token)
    cookie = at.cookies[COOKIE]
    raw = bytearray(base64.urlsafe_b64decode(cookie))
    raw[20] ^= 1
    bad = ["", "x", cookie[:-4], base64.urlsafe_b64encode(bytes(raw)).decode(), base64.urlsafe_b64encode(b"1").decode()]
    fresh = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)

    refused = [(await fresh.get(f"/inbox/{brand.id}", headers=with_cookie(one))).status_code for one in bad]
    good = await fresh.get(f"/inbox/{brand.id}", headers=with_cookie(cookie))
    clock.shift = timedelta(seconds=COOKIE_S + 1)
    late = await fresh.get(f"/inbox/{brand.id}", headers=with_cookie(cookie))

    assert refused == [401] * 5
    assert (good.status_code, late.status_code) == (200, 401)


async def test_the_list_of_brands_is_for_this_machine_alone(browser: Open, brand: Brand):
    here = await browser().get("/inbox")
    outside = await browser(client="192.0.2.7").get("/inbox")

    assert f'href="/inbox/{brand.id}"' in here.text
    assert outside.status_code == 404
    assert "stentor brand list" in outside.text


# --- deleting -------------------------------------------------------------------------------------------------------


async def test_messages_are_deleted_by_our_own_forms(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    first, second = await send(db, sandbox, brand), await send(db, sandbox, brand, address="ben@example.com")
    at = browser()

    one = await submit(at, f"/inbox/{brand.id}", f"/inbox/{brand.id}/{first.send_id}/delete")
    gone = await at.get(f"/inbox/{brand.id}/{first.send_id}")
    still = await at.get(f"/inbox/{brand.id}/{second.send_id}")
    everything = await submit(at, f"/inbox/{brand.id}", f"/inbox/{brand.id}/delete")
    empty = await at.get(f"/inbox/{brand.id}")

    assert (one.status_code, gone.status_code, still.status_code) == (303, 404, 200)
    assert "made room for newer ones" in gone.text
    assert f'href="/inbox/{brand.id}"' in gone.text
    assert everything.status_code == 303
    assert "No messages yet" in empty.text


@pytest.mark.fault("S15")
async def test_a_form_of_another_page_deletes_nothing(
    browser: Open, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await send(db, sandbox, brand)
    at = browser()
    foreign: list[dict[str, str]] = [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:9090", "Sec-Fetch-Site": "same-site"},
    ]
    token = form_token(await at.get(f"/inbox/{brand.id}"))

    tries = [(headers, token) for headers in foreign] + [(OWN_FORM, ""), (OWN_FORM, "x"), (OWN_FORM, token[::-1])]
    for headers, said in tries:
        for form in ("delete", f"{mail.send_id}/delete", "key"):
            fields = {"key": "st_x", "form_token": said}
            answer = await at.post(f"/inbox/{brand.id}/{form}", headers=headers, data=fields)
            assert answer.status_code == 403, (headers, form)
    assert (await at.get(f"/inbox/{brand.id}/{mail.send_id}")).status_code == 200


async def test_a_key_that_may_only_read_deletes_nothing(
    browser: Open, services: Services, db: Database, sandbox: SandboxChannel, brand: Brand
):
    mail = await send(db, sandbox, brand)
    key = await services.accounts.create_key("inbox", brand_id=brand.id, scopes=["read"])
    at = browser(PUBLIC, client="192.0.2.7", public_url=PUBLIC)
    await _logged_in(at, brand, key.token)

    page = await at.get(f"/inbox/{brand.id}")
    answer = await at.post(f"/inbox/{brand.id}/{mail.send_id}/delete", headers={"Origin": PUBLIC})

    assert "Delete all" not in page.text
    assert answer.status_code == 403


@pytest.mark.fault("S1")
async def test_another_brands_messages_do_not_exist(
    browser: Open, services: Services, db: Database, sandbox: SandboxChannel, brand: Brand
):
    other = await services.accounts.create_brand("Other")
    mail = await send(db, sandbox, other)
    at = browser()

    for path in ("", "/html", "/raw"):
        assert (await at.get(f"/inbox/{brand.id}/{mail.send_id}{path}")).status_code == 404
    assert (await submit(at, f"/inbox/{other.id}", f"/inbox/{brand.id}/{mail.send_id}/delete")).status_code == 404
    assert (await at.get(f"/inbox/{other.id}/{mail.send_id}")).status_code == 200


@pytest.mark.parametrize("path", ["?x=%00", "/%00", "/{brand}?search=%00", "/{brand}/%00/html"])
async def test_what_is_refused_before_any_page_is_chosen_is_a_page_too(browser: Open, brand: Brand, path: str):
    answer = await browser().get(f"/inbox{path.format(brand=brand.id)}")

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "NUL character" in answer.text


# --- files ----------------------------------------------------------------------------------------------------------


async def test_style_and_scripts_come_from_here_and_may_be_kept(browser: Open, brand: Brand):
    at = browser()
    page = await at.get(f"/inbox/{brand.id}")
    files = re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text)

    answers = [await at.get(path) for path in files]

    names = {path.rpartition("/")[2] for path in files}
    assert names == {"console.css", "console.js", "icon.svg", "inbox.js", "tokens.css"}
    assert all(answer.status_code == 200 for answer in answers)
    assert all("immutable" in answer.headers["cache-control"] for answer in answers)
    assert not re.search(r'(?:href|src)="(?:https?:)?//', page.text)


async def test_what_is_no_file_of_a_page_is_not_served(browser: Open):
    at = browser()

    for name in ("x/console.css", "x/..%2F..%2Fpages.py", "x/%2e%2e/pages.py", "console.css", ""):
        assert (await at.get(f"/console/static/{name}")).status_code == 404, name


async def test_an_error_is_a_page_that_says_what_to_do(browser: Open, brand: Brand):
    missing = await browser().get(f"/inbox/{brand.id}/{'a' * 60}")
    no_brand = await browser().get("/inbox/00000000-0000-0000-0000-000000000000")

    for answer in (missing, no_brand):
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert "<main" in answer.text
