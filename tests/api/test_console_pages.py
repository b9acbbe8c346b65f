import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from browsing import all_scripts_are_ours, form_token, links_in, submit
from stentor.accounts import totp
from stentor.accounts.model import Brand
from stentor.accounts.roles import Role
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.doors import doors
from stentor.settings import Settings
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core, core
from stentor.wiring.services import api_settings, people_accounts, services

pytestmark = pytest.mark.anyio

PUBLIC = "https://stentor.example.org"
PASSWORD = "correct horse battery"
SESSION = "__Host-stentor_session"

Open = Callable[[], AsyncClient]
Enters = Callable[..., Awaitable[AsyncClient]]


@pytest.fixture
async def installation(database_dsn: str, tmp_path: Path) -> AsyncIterator[Core]:
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path, public_url=PUBLIC)
    async with core(settings, database_dsn, role="test", size=5) as opened:
        yield opened


@pytest.fixture
def db(installation: Core) -> Database:
    return installation.db


@pytest.fixture
def served(installation: Core) -> Services:
    return services(installation)


@pytest.fixture
async def browser(installation: Core, served: Services) -> AsyncIterator[Open]:
    told = api_settings(installation)
    app = create_app(served, told, doors=doors(installation, served, told))
    opened: list[AsyncClient] = []

    def at() -> AsyncClient:
        transport = ASGITransport(app=app, client=("192.0.2.7", 50_000), raise_app_exceptions=False)  # pyrefly: ignore[bad-argument-type]
        opened.append(AsyncClient(transport=transport, base_url=PUBLIC, headers={"User-Agent": "Firefox <b>"}))
        return opened[-1]

    yield at
    for one in opened:
        await one.aclose()


@pytest.fixture
async def brand(served: Services) -> Brand:
    return await served.accounts.create_brand("Matchday <b>&</b>")


@pytest.fixture
def enters(installation: Core, browser: Open, brand: Brand) -> Enters:
    """A browser in which somebody with that role is signed in."""

    async def come(email: str, role: Role = "owner", *, in_brand: bool = False) -> AsyncClient:
        people = people_accounts(installation)
        user = await people.users.create(
            email,
            email.partition("@")[0],
            organisation_id=brand.organisation_id,
            role=role,
            brand_id=brand.id if in_brand else None,
        )
        at, link = browser(), f"/console/password/{await people.sign_in.link_for(user)}"
        came = await submit(at, link, password=PASSWORD, again=PASSWORD)
        assert (came.status_code, came.headers["location"]) == (303, "/console")
        return at

    return come


async def test_the_first_owner_joins_by_a_link_invites_and_makes_tokens(
    installation: Core, served: Services, browser: Open, brand: Brand
):
    invitations = people_accounts(installation).invitations
    first = await invitations.invite_first_owner(brand.organisation_id)
    assert first is not None
    owner, ann = browser(), browser()
    here = f"/console/organisations/{brand.organisation_id}"

    joined = await submit(
        owner,
        f"/console/invitation/{invitations.token(first)}",
        email="olga@example.org",
        name="Olga <i>",
        password=PASSWORD,
        again=PASSWORD,
    )
    home = await owner.get(joined.headers["location"])
    invited = await submit(owner, f"{here}/members", f"{here}/members/invite", email="ann@example.org", role="viewer")
    link = links_in(invited, f"{PUBLIC}/console/invitation/")[0].removeprefix(PUBLIC)
    came = await submit(ann, link, email="eve@example.org", name="Ann", password=PASSWORD, again=PASSWORD)
    made = await submit(
        owner, f"{here}/tokens", f"{here}/tokens/create", name="CI", scope_read="yes", days="30", brand_id=str(brand.id)
    )

    assert "Olga &lt;i&gt;" in home.text
    assert f'href="/console/brands/{brand.id}"' in home.text
    assert came.status_code == 303
    members = await owner.get(f"{here}/members")
    assert re.findall(r"<bdi>(\w+@example.org)</bdi> ·", members.text) == ["ann@example.org", "olga@example.org"]
    assert "no mail of its own" in invited.text
    (token,) = re.findall(r'value="(\d+\|st_\w+)"', made.text)
    (key,) = await served.accounts.keys_of_organisation(brand.organisation_id)
    assert (key.made_by, key.scopes, key.brand_id, key.expires_at is not None) == (
        "olga@example.org",
        ["read"],
        brand.id,
        True,
    )
    asked = await owner.get(f"/v1/groups/{brand.id}/topics", headers={"Authorization": f"Bearer {token}"})
    assert asked.status_code == 200
    await submit(owner, f"{here}/tokens", f"{here}/tokens/{key.number}/revoke")
    live, ended = [(await owner.get(f"{here}/tokens{query}")).text for query in ("", "?state=ended")]
    assert token not in live + ended
    assert ("<bdi>CI</bdi>" in live, "<bdi>CI</bdi>" in ended, ">revoked<" in ended) == (False, True, True)

    async def is_dead() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        return (await owner.get(f"/v1/groups/{brand.id}/topics", headers=headers)).status_code == 401

    assert await eventually(is_dead, within_s=2)


@pytest.mark.fault("S15")
async def test_signing_in_leads_on_and_gives_a_cookie_that_no_script_and_no_other_host_has(
    enters: Enters, browser: Open, brand: Brand
):
    await enters("ann@example.org")
    at = browser()
    asked = await at.get(f"/console/organisations/{brand.organisation_id}/members")
    assert asked.status_code == 303
    before = dict(at.cookies)

    wrong = await submit(at, asked.headers["location"], "/console/sign-in", email="ann@example.org", password="x")
    right = await submit(
        at,
        asked.headers["location"],
        "/console/sign-in",
        email="ann@example.org",
        password=PASSWORD,
        next=f"/console/organisations/{brand.organisation_id}/members",
    )

    assert (wrong.status_code, 'role="alert"' in wrong.text, 'value="ann@example.org"' in wrong.text) == (
        401,
        True,
        True,
    )
    assert right.headers["location"] == f"/console/organisations/{brand.organisation_id}/members"
    cookie = right.headers["set-cookie"]
    assert cookie.startswith(f"{SESSION}=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert "Domain" not in cookie
    assert before.get(SESSION) is None
    page = await at.get("/console/account")
    assert "Firefox &lt;b&gt;" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "same-origin")
    left = await submit(at, "/console", "/console/sign-out")
    assert left.headers["location"] == "/console/sign-in"
    old = {"Cookie": f"{SESSION}={cookie.partition(';')[0].partition('=')[2]}"}
    assert (await browser().get("/console", headers=old)).status_code == 303


@pytest.mark.parametrize(
    "onwards",
    [
        "https://evil.example",
        "//evil.example",
        "/console\\evil",
        "/consolex",
        "/v1/groups",
        "/console\r\nX: y",
        "",
        "é",
    ],
)
async def test_nobody_is_led_to_a_page_that_is_not_ours(enters: Enters, browser: Open, onwards: str):
    await enters("ann@example.org")

    came = await submit(browser(), "/console/sign-in", email="ann@example.org", password=PASSWORD, next=onwards)

    assert (came.status_code, came.headers["location"]) == (303, "/console")


@pytest.mark.fault("S15")
async def test_every_form_of_the_console_is_refused_from_another_page_and_without_its_token(
    installation: Core, served: Services, enters: Enters, brand: Brand
):
    at: AsyncClient = await enters("ann@example.org")
    told = api_settings(installation)
    app = create_app(served, told, doors=doors(installation, served, told))
    posts = [
        route.path_format
        for route in app.routes
        if route.path_format.startswith(("/console", "/inbox")) and "POST" in getattr(route, "methods", ())
    ]
    token = form_token(await at.get("/console/account"))
    own = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    nobody: dict[str, str] = {}

    assert len(posts) >= 18
    for path in posts:
        filled = path.replace("{organisation_id}", str(brand.organisation_id)).replace("{brand_id}", str(brand.id))
        for headers, said in ((own, ""), (own, "0" * 64), (foreign, token), (nobody, token)):
            answer = await at.post(re.sub(r"{\w+}", "x", filled), data={"form_token": said}, headers=headers)
            assert answer.status_code == 403, (path, headers, said)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.fault("S15")
async def test_a_token_of_one_browser_is_worth_nothing_in_another(browser: Open):
    stolen = form_token(await browser().get("/console/sign-in"))
    at = browser()
    await at.get("/console/sign-in")

    answer = await at.post(
        "/console/sign-in",
        data={"form_token": stolen, "email": "a@example.org", "password": "x"},
        headers={"Origin": PUBLIC},
    )

    assert answer.status_code == 403


async def test_a_second_factor_is_set_up_asked_for_and_taken_off(installation: Core, enters: Enters, browser: Open):
    at: AsyncClient = await enters("ann@example.org")
    clock = Clock(installation.db.shift)
    old = at.cookies[SESSION]

    unasked = await submit(at, "/console/account", "/console/account/second-factor")
    shown = await submit(at, "/console/account", "/console/account/second-factor", password=PASSWORD)
    (typed,) = re.findall(r"<code>([A-Z2-7 ]+)</code>", shown.text)
    secret = base64.b32decode(typed.replace(" ", ""))
    step = totp.step_at(clock.now().timestamp())
    confirm = {"code": "000000", "form_token": form_token(shown)}
    own = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    wrong = await at.post("/console/account/second-factor/confirm", data=confirm, headers=own)
    confirm["code"] = totp.code_of(secret, step)
    codes = await at.post("/console/account/second-factor/confirm", data=confirm, headers=own)

    assert unasked.status_code == 403
    assert "<svg" in shown.text
    assert " style=" not in shown.text
    assert (wrong.status_code, typed in wrong.text) == (400, True)
    recovery = re.findall(r"^(?:.*>)?([a-z2-7]{16})", codes.text, re.MULTILINE)
    assert len(recovery) == 10
    assert at.cookies[SESSION] != old
    there = browser()
    half = await submit(there, "/console/sign-in", email="ann@example.org", password=PASSWORD, next="/inbox")
    assert half.headers["location"] == "/console/second-factor?next=%2Finbox"
    assert (await there.get("/console/account")).status_code == 303
    refused = await submit(there, half.headers["location"], "/console/second-factor", code=confirm["code"])
    whole = await submit(there, half.headers["location"], "/console/second-factor", code=recovery[0], next="/inbox")
    assert (refused.status_code, whole.headers["location"]) == (400, "/inbox")
    account = await there.get("/console/account")
    assert "9 recovery codes left" in account.text
    off = await submit(there, "/console/account", "/console/account/second-factor/remove", code=recovery[1])
    assert "No second factor is asked for" in off.text


async def test_my_password_and_my_other_browsers(enters: Enters, browser: Open):
    at: AsyncClient = await enters("ann@example.org")
    there = browser()
    await submit(there, "/console/sign-in", email="ann@example.org", password=PASSWORD)
    change = {"password": "another good phrase", "again": "another good phrase"}

    wrong = await submit(at, "/console/account", "/console/account/password", old="no", **change)
    differs = await submit(at, "/console/account", "/console/account/password", old=PASSWORD, password="x", again="y")
    changed = await submit(at, "/console/account", "/console/account/password", old=PASSWORD, **change)

    assert [answer.status_code for answer in (wrong, differs, changed)] == [403, 400, 200]
    assert "All other browsers are signed out" in changed.text
    assert (await there.get("/console/account")).status_code == 303
    assert (await at.get("/console/account")).status_code == 200
    again = browser()
    await submit(again, "/console/sign-in", email="ann@example.org", password="another good phrase")
    ended = await submit(at, "/console/account", "/console/account/sessions/end-others")
    assert ended.status_code == 303
    assert (await again.get("/console")).status_code == 303


@pytest.mark.fault("S1")
async def test_each_role_sees_and_does_what_it_may_and_other_organisations_are_not_there(
    served: Services, enters: Enters, brand: Brand, db: Database
):
    here = f"/console/organisations/{brand.organisation_id}"
    async with db.transaction() as conn:
        await conn.execute(
            b"INSERT INTO organisation (id, name, created_at) VALUES (gen_random_uuid(), 'Other', now())"
        )
        rows = await (await conn.execute(b"SELECT id FROM organisation WHERE name = 'Other'")).fetchall()
    other = f"/console/organisations/{rows[0][0]}"
    owner: AsyncClient = await enters("owner@example.org")
    expected = {
        "admin": (200, 200, 200, 200),
        "developer": (200, 200, 403, 403),
        "marketer": (200, 403, 403, 403),
        "viewer": (200, 403, 403, 403),
    }

    for role, wanted in expected.items():
        at: AsyncClient = await enters(f"{role}@example.org", role)
        seen = [await at.get(f"{here}/members"), await at.get(f"{here}/tokens")]
        done = [
            await submit(at, "/console/account", f"{here}/tokens/create", name=role, scope_run="yes"),
            await submit(
                at, "/console/account", f"{here}/members/invite", email=f"by-{role}@example.org", role="viewer"
            ),
        ]
        assert tuple(answer.status_code for answer in (*seen, *done)) == wanted, role
        hidden = [await at.get(f"{other}/members"), await at.get("/console/organisations/x/tokens")]
        assert [answer.status_code for answer in hidden] == [404, 404]
    in_brand: AsyncClient = await enters("brand@example.org", "admin", in_brand=True)
    assert (await in_brand.get(f"{here}/members")).status_code == 404
    admin = await submit(owner, f"{here}/members", f"{here}/members/invite", email="x@example.org", role="king")
    assert admin.status_code == 400
    members = {member.user.email: member for member in await served.users.members(brand.organisation_id)}
    viewer = members["viewer@example.org"].user.id
    changed = await submit(
        owner, f"{here}/members", f"{here}/members/{viewer}/role", role="developer", brand_id=str(brand.id)
    )
    removed = await submit(owner, f"{here}/members", f"{here}/members/{members['marketer@example.org'].user.id}/remove")
    own = await submit(owner, f"{here}/members", f"{here}/members/{members['owner@example.org'].user.id}/remove")
    assert (changed.status_code, removed.status_code, own.status_code) == (303, 303, 409)


async def test_the_inbox_opens_to_whoever_may_read_in_the_brand(
    served: Services, enters: Enters, browser: Open, brand: Brand
):
    other = await served.accounts.create_brand("Other")
    viewer: AsyncClient = await enters("viewer@example.org", "viewer", in_brand=True)

    mine, theirs, nobodys = [
        await each.get(f"/inbox/{one}") for each, one in ((viewer, brand.id), (viewer, other.id), (browser(), brand.id))
    ]
    emptied = await submit(viewer, "/console/account", f"/inbox/{brand.id}/delete")

    assert [answer.status_code for answer in (mine, theirs, nobodys, emptied)] == [200, 401, 401, 403]
    assert f'href="/console/sign-in?next=/inbox/{brand.id}"' in nobodys.text
    assert "viewer@example.org" in mine.text


async def test_dead_links_and_missing_pages_say_what_to_do(browser: Open):
    at = browser()

    for path in ("/console/password/x", "/console/invitation/x", "/console/nothing", "/console/oidc/callback"):
        answer = await at.get(path)
        assert (answer.status_code, "ask for a new one" in answer.text) == (404, True), path
    asked = await at.get("/console/forgotten")
    assert "stentor user link" in asked.text


@pytest.mark.parametrize(
    ("email", "statuses"),
    [("a\0nn@example.org", [400, 400, 400, 400]), ("a" * 6_000 + "@example.org", [401, 409, 400, 400])],
)
async def test_an_address_that_nobody_can_have_is_refused_with_a_sentence(
    installation: Core, enters: Enters, browser: Open, brand: Brand, email: str, statuses: list[int]
):
    invitation = await people_accounts(installation).invitations.invite_first_owner(brand.organisation_id)
    assert invitation is not None
    link = f"/console/invitation/{people_accounts(installation).invitations.token(invitation)}"
    owner, members = await enters("owner@example.org"), f"/console/organisations/{brand.organisation_id}/members"

    answers = [
        await submit(browser(), "/console/sign-in", email=email, password=PASSWORD),
        await submit(browser(), "/console/sign-in", "/console/forgotten", email=email),
        await submit(browser(), link, email=email, name="Ann", password=PASSWORD, again=PASSWORD),
        await submit(owner, members, f"{members}/invite", email=email, role="viewer"),
    ]

    assert [answer.status_code for answer in answers] == statuses


async def test_pages_have_no_inline_style_or_script_and_a_label_for_each_field(
    enters: Enters, browser: Open, brand: Brand
):
    at: AsyncClient = await enters("ann@example.org")
    here = f"/console/organisations/{brand.organisation_id}"
    pages = [await browser().get("/console/sign-in")]
    pages += [await at.get(path) for path in ("/console", "/console/account", f"{here}/members", f"{here}/tokens")]

    for page in pages:
        assert page.status_code == 200
        assert " style=" not in page.text
        assert all_scripts_are_ours(page)
        assert '<a class="skip-link" href="#main">' in page.text
        labelled = set(re.findall(r'<label for="([^"]+)"', page.text))
        fields = re.findall(r'<(?:input|select)[^>]*\bid="([^"]+)"', page.text)
        assert set(fields) <= labelled
        assert len(fields) == len(set(fields))
