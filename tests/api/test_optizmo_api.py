"""Opt-out lists in the words of their clients: what comes over the wire, and what goes back."""

from datetime import UTC, date, datetime, timedelta
from hashlib import md5, sha512
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response

from api_world import Client, World
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.jobs.service import FILE_BYTES_MAX
from stentor.optouts.model import ListDraft, ListPatch, OptOutList
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

ANN = "ann@example.org"


@pytest.fixture
async def partners(world: World) -> OptOutList:
    return await world.services.optout_lists.create(world.brand.id, ListDraft(name="Partners"))


async def ask(world: World, method: str, path: str, **more: Any) -> Response:
    headers = {"Authorization": f"Bearer {world.token}", **more.pop("headers", {})}
    return await world.client.request(method, path, headers=headers, **more)


async def collect(world: World, code: str, **who: Any) -> Response:
    return await ask(world, "POST", "/client-optout/collect", json={"optoutListId": code, **who})


async def has(world: World, code: str, optout: str, **more: Any) -> Response:
    return await ask(world, "GET", "/optout-list/has-optout", params={"optoutListId": code, "optout": optout}, **more)


async def prepare_upload(world: World, code: str, size: Any = 100) -> Response:
    body = {"optoutListId": code, "fileContentLength": size}
    return await ask(world, "POST", "/optout-list/prepare-upload", json=body)


async def prepare_download(world: World, code: str, **more: Any) -> Response:
    body = {"optoutListId": code, "columns": ["plain"], "collectionType": ["imported"], **more}
    return await ask(world, "POST", "/optout-list/prepare-download", json=body)


def told(answer: Response) -> tuple[int, list[dict[str, str]]]:
    """The status of a problem, and where it names what is wrong."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "detail", "code"} <= body.keys()
    return answer.status_code, [
        {key: text for key, text in error.items() if key != "detail"} for error in body.get("errors", [])
    ]


async def test_an_opt_out_that_is_collected_is_on_the_list_at_once(world: World, partners: OptOutList):
    before = await has(world, partners.code, ANN)
    collected = await collect(world, partners.code, email="Ann@Example.org")
    again = await collect(world, partners.code, email=ANN)
    after = await has(world, partners.code, ANN)

    assert (before.status_code, before.json()) == (200, {"hasOptout": False})
    assert (collected.status_code, collected.json()) == (200, {})
    assert (again.status_code, again.json()) == (200, {})
    assert (after.status_code, after.json()) == (200, {"hasOptout": True})
    (entry,) = await world.services.optout_entries.find(world.brand.id, partners.code, ANN)
    assert entry.entry is not None
    assert entry.entry.cause == "collect"


async def test_a_number_is_collected_as_its_digits(world: World, partners: OptOutList):
    await collect(world, partners.code, sms="12345678900")

    assert (await has(world, partners.code, "+12345678900")).json() == {"hasOptout": True}
    unescaped = await ask(world, "GET", f"/optout-list/has-optout?optoutListId={partners.code}&optout=+12345678900")
    assert unescaped.json() == {"hasOptout": True}


async def test_a_look_up_takes_the_address_or_its_hash(world: World, partners: OptOutList):
    await collect(world, partners.code, email=ANN)

    plain = await has(world, partners.code.upper(), " ANN@example.org ")
    hashed = await has(world, partners.code, md5(ANN.encode(), usedforsecurity=False).hexdigest().upper())
    other = await has(world, partners.code, sha512(ANN.encode()).hexdigest())

    assert plain.json() == hashed.json() == {"hasOptout": True}
    assert told(other) == (400, [{"parameter": "optout"}])


async def test_what_is_no_opt_out_is_refused_by_its_place(world: World, partners: OptOutList):
    nothing = await has(world, partners.code, "hello")
    unnamed = await ask(world, "GET", f"/optout-list/has-optout?optoutListId={partners.code}")
    many = await ask(world, "GET", "/optout-list/has-optout?" + "a=1&" * 50)
    torn = await ask(world, "GET", f"/optout-list/has-optout?optoutListId={partners.code}&optout=j%F6rg@example.org")

    assert told(nothing) == (400, [{"parameter": "optout"}])
    assert told(unnamed) == (400, [{"parameter": "optout"}])
    assert told(many) == (400, [])
    assert told(torn) == (400, [{"parameter": "optout"}])
    assert told(await collect(world, partners.code, email="hello")) == (400, [{"pointer": "#/email"}])
    assert told(await collect(world, partners.code, email="@example.org")) == (400, [{"pointer": "#/email"}])
    assert told(await collect(world, partners.code, sms=ANN)) == (400, [{"pointer": "#/sms"}])
    assert told(await collect(world, partners.code)) == (400, [{"pointer": "#/email"}])
    assert told(await collect(world, partners.code, email=ANN, sms="12345678900")) == (400, [{"pointer": "#/email"}])
    assert told(await collect(world, partners.code, sms=12345678900)) == (400, [{"pointer": "#/sms"}])


@pytest.mark.parametrize("name", ["optout", "optoutListId"])
async def test_of_two_questions_in_one_neither_is_answered(world: World, partners: OptOutList, name: str):
    asked = f"/optout-list/has-optout?optoutListId={partners.code}&optout={ANN}"

    twice = await ask(world, "GET", f"{asked}&{name}=bob@example.org")
    beside = await ask(world, "GET", f"{asked}&utm=1&utm=2")

    assert told(twice) == (400, [{"parameter": name}])
    assert beside.json() == {"hasOptout": False}


async def test_an_address_does_not_go_on_a_list_of_numbers(world: World):
    numbers = await world.services.optout_lists.create(world.brand.id, ListDraft(name="SMS", channels=4))

    assert told(await collect(world, numbers.code, email=ANN)) == (400, [{"pointer": "#/email"}])
    assert (await collect(world, numbers.code, sms="12345678900")).status_code == 200


async def test_nothing_is_collected_where_it_cannot_be_and_nobody_learns_why(
    world: World, other_world: World, partners: OptOutList
):
    lists = world.services.optout_lists
    disabled = await lists.create(world.brand.id, ListDraft(name="Disabled", enabled=False))
    deleted = await lists.create(world.brand.id, ListDraft(name="Deleted"))
    await lists.delete(world.brand.id, deleted.code)
    grouped = await lists.create(world.brand.id, ListDraft(name="All", kind="grouped", members=[partners.code]))
    foreign = await lists.create(other_world.brand.id, ListDraft(name="Theirs"))
    await lists.grant(other_world.brand.id, foreign.code, world.brand.id, granted_by="test")
    linked = await lists.create(world.brand.id, ListDraft(name="Linked", kind="linked", linked=foreign.code))
    reader = await world.key("read")

    refused = [
        await collect(world, code, email=ANN)
        for code in (
            disabled.code,
            deleted.code,
            grouped.code,
            linked.code,
            foreign.code,
            "0123456789abcdef",
            "nonsense",
            "Partners",
            str(partners.id),
            "",
        )
    ]
    refused.append(
        await ask(
            world,
            "POST",
            "/client-optout/collect",
            json={"optoutListId": partners.code, "email": ANN},
            headers={"Authorization": f"Bearer {reader}"},
        )
    )

    assert {(answer.status_code, answer.content) for answer in refused} == {(403, refused[0].content)}
    assert told(refused[0]) == (403, [])


@pytest.mark.fault("S9")
async def test_a_foreign_list_is_a_missing_list_to_the_byte(world: World, other_world: World):
    foreign = await world.services.optout_lists.create(other_world.brand.id, ListDraft(name="Theirs"))
    upload = await prepare_upload(other_world, foreign.code)
    reference = upload.json()["importReference"]

    for theirs, missing in (
        (await has(world, foreign.code, ANN), await has(world, "0123456789abcdef", ANN)),
        (await prepare_upload(world, foreign.code), await prepare_upload(world, "0123456789abcdef")),
        (await prepare_download(world, foreign.code), await prepare_download(world, "0123456789abcdef")),
        (
            await ask(world, "GET", f"/optout-list/upload-status/{reference}"),
            await ask(world, "GET", f"/optout-list/upload-status/{uuid4()}"),
        ),
        (
            await ask(world, "GET", "/optout-list/upload-status/..%2f..%2fetc"),
            await ask(world, "GET", "/optout-list/upload-status/nonsense"),
        ),
    ):
        assert theirs.status_code == missing.status_code == 403
        assert theirs.content == missing.content


@pytest.mark.parametrize("header", ["Authorization", "api_key"])
async def test_either_header_opens_and_bearer_wins(world: World, partners: OptOutList, header: str):
    path = f"/optout-list/has-optout?optoutListId={partners.code}&optout={ANN}"
    key = f"Bearer {world.token}" if header == "Authorization" else world.token

    opened = await world.client.get(path, headers={header: key})
    wrong_bearer = await world.client.get(path, headers={"api_key": world.token, "Authorization": "Bearer nothing"})
    right_bearer = await world.client.get(
        path, headers={"api_key": "nothing", "Authorization": f"bearer {world.token}"}
    )

    assert opened.json() == {"hasOptout": False}
    assert told(wrong_bearer) == (401, [])
    assert "www-authenticate" in wrong_bearer.headers
    assert right_bearer.status_code == 200


@pytest.mark.parametrize("said", ["", "Basic YTpi", "Digest x"])
async def test_what_is_no_bearer_leaves_the_other_header_to_open(world: World, partners: OptOutList, said: str):
    answer = await world.client.get(
        f"/optout-list/has-optout?optoutListId={partners.code}&optout={ANN}",
        headers={"Authorization": said, "api_key": world.token},
    )

    assert answer.json() == {"hasOptout": False}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/optout-list/has-optout?optoutListId=0123456789abcdef&optout=a"),
        ("GET", "/optout-list/upload-status/a405108f-284c-4059-8817-459bfcbc0000"),
        ("POST", "/optout-list/prepare-upload"),
        ("POST", "/optout-list/prepare-download"),
        ("POST", "/client-optout/collect"),
    ],
)
async def test_without_a_key_nothing_answers(app_client: Client, method: str, path: str):
    for header, key in (
        ("x-other", "1"),
        ("Authorization", "Basic abc"),
        ("api_key", ""),
        ("Authorization", "Bearer \xe9"),
    ):
        raw = [(header.encode(), key.encode("latin-1"))]
        assert told(await app_client.request(method, path, headers=raw)) == (401, [])


async def test_a_key_of_a_whole_organisation_is_of_no_list(world: World, partners: OptOutList):
    key = await world.services.accounts.create_key(
        "wide", organisation_id=world.brand.organisation_id, scopes=("admin",)
    )

    answer = await has(world, partners.code, ANN, headers={"Authorization": f"Bearer {key.token}"})

    assert told(answer) == (403, [])


async def test_answers_say_how_many_calls_are_left(world: World, partners: OptOutList):
    token = await world.key("admin")
    first = await has(world, partners.code, ANN, headers={"Authorization": f"Bearer {token}"})
    second = await collect_with(world, token, partners.code)

    assert first.headers["x-rate-limit-limit"] == "50"
    assert first.headers["x-rate-limit-remaining"] == "49"
    assert int(second.headers["x-rate-limit-remaining"]) >= 48
    assert 0 <= int(first.headers["x-rate-limit-reset"]) - datetime.now(UTC).timestamp() + 5 <= 10
    assert not [name for name in first.headers if name.startswith("x-ratelimit")]


async def collect_with(world: World, token: str, code: str) -> Response:
    return await ask(
        world,
        "POST",
        "/client-optout/collect",
        json={"optoutListId": code, "email": ANN},
        headers={"Authorization": f"Bearer {token}"},
    )


async def test_too_many_calls_of_a_key_are_told_when_to_come_back(world: World, partners: OptOutList):
    await world.services.accounts.update_brand_settings(world.brand.id, {"optout_rate_per_s": 1})
    token, other = await world.key("admin"), await world.key("admin")

    await has(world, partners.code, ANN, headers={"Authorization": f"Bearer {token}"})
    refused = await has(world, partners.code, ANN, headers={"Authorization": f"Bearer {token}"})
    another = await has(world, partners.code, ANN, headers={"Authorization": f"Bearer {other}"})

    assert told(refused) == (429, [])
    assert refused.headers["retry-after"] == "1"
    assert (refused.headers["x-rate-limit-limit"], refused.headers["x-rate-limit-remaining"]) == ("1", "0")
    assert another.status_code == 200


async def test_an_upload_is_sent_to_the_link_and_asked_for_by_its_reference(world: World, partners: OptOutList):
    prepared = await prepare_upload(world, partners.code, 16)
    body = prepared.json()
    path = f"/optout-list/upload-status/{body['importReference'].upper()}"

    before = await ask(world, "GET", path)
    sent = await world.client.put(body["uploadUrl"], content=b"ann@example.org\n")
    after = await ask(world, "GET", path)

    assert body.keys() == {"uploadUrl", "importReference"}
    assert body["uploadUrl"].startswith("http://testserver.local/storage/")
    expires = datetime.fromtimestamp(int(body["uploadUrl"].partition("Expires=")[2]), UTC)
    assert timedelta(minutes=14) < expires - datetime.now(UTC) <= timedelta(minutes=15)
    assert (before.status_code, before.json()) == (200, {"status": "running"})
    assert sent.status_code == 200
    assert (after.json()["status"], after.json().keys()) == ("running", {"status", "elapsedSeconds"})


async def test_a_status_has_counts_once_the_import_is_over(world: World, partners: OptOutList, installation: Core):
    reference = (await prepare_upload(world, partners.code)).json()["importReference"]
    async with installation.db.transaction() as conn:
        await conn.execute(
            "UPDATE optout_job SET state = 'success', ready_at = now() - interval '12.5 s', ended_at = now(),"
            " submitted = 100, added = 95, duplicate = 3, malformed = 2 WHERE id = %s",
            [reference],
        )

    done = await ask(world, "GET", f"/optout-list/upload-status/{reference}")

    assert done.json() == {
        "status": "success",
        "message": "Lines: 100. Added: 95. Known already: 3. Malformed: 2.",
        "elapsedSeconds": 12,
        "addedCount": 95,
        "malformedCount": 2,
        "submittedCount": 100,
    }


async def test_a_file_of_another_length_than_declared_fails(world: World, partners: OptOutList):
    body = (await prepare_upload(world, partners.code, 100)).json()

    sent = await world.client.put(body["uploadUrl"], content=b"ann@example.org\n")
    status = await ask(world, "GET", f"/optout-list/upload-status/{body['importReference']}")

    assert sent.status_code == 200
    assert (status.json()["status"], status.json()["message"]) == (
        "failed",
        "The file was declared with 100 bytes, and 16 came.",
    )


async def test_an_upload_that_never_came_is_removed(world: World, partners: OptOutList, installation: Core):
    late = (await prepare_upload(world, partners.code)).json()["importReference"]
    taken = (await prepare_upload(world, partners.code)).json()["importReference"]
    async with installation.db.transaction() as conn:
        await conn.execute("UPDATE optout_job SET upload_until = now() WHERE id = %s", [late])
    await world.services.optout_jobs.remove(world.brand.id, UUID(taken))

    for reference in (late, taken):
        assert (await ask(world, "GET", f"/optout-list/upload-status/{reference}")).json() == {"status": "removed"}


@pytest.mark.parametrize("size", [FILE_BYTES_MAX + 1, -1, 10.5, "100", None])
async def test_a_size_that_cannot_be_is_refused_before_any_link(world: World, partners: OptOutList, size: Any):
    assert told(await prepare_upload(world, partners.code, size)) == (400, [{"pointer": "#/fileContentLength"}])


@pytest.mark.parametrize("size", [FILE_BYTES_MAX, 0, 10.0])
async def test_a_size_that_can_be_is_taken(world: World, partners: OptOutList, size: Any):
    assert (await prepare_upload(world, partners.code, size)).status_code == 200


async def test_a_list_without_entries_of_its_own_takes_no_upload(world: World, partners: OptOutList):
    draft = ListDraft(name="All", kind="grouped", members=[partners.code])
    grouped = await world.services.optout_lists.create(world.brand.id, draft)

    assert told(await prepare_upload(world, grouped.code)) == (400, [{"pointer": "#/optoutListId"}])


async def test_a_download_is_a_link_that_is_not_there_yet(world: World, partners: OptOutList):
    answer = await prepare_download(
        world,
        partners.code,
        columns=["timestamp", "plain", "campaign"],
        collectionType=["collected"],
        dateRange={"from": "2026-01-01", "to": "2026-06-30"},
        domainFilter=" gmail.com, co.UK ",
    )

    assert answer.status_code == 200
    assert answer.json().keys() == {"downloadUrl"}
    assert (await world.client.get(answer.json()["downloadUrl"])).status_code == 404
    (job,) = await world.services.optout_jobs.page(world.brand.id, kind="export")
    assert ExportSpec.from_json(job.spec) == ExportSpec(
        columns=("timestamp", "plain", "campaign"),
        collections=("collected",),
        first_day=date(2026, 1, 1),
        last_day=date(2026, 6, 30),
        domains=("gmail.com", "co.uk"),
    )


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"columns": []}, "#/columns"),
        ({"columns": ["plain", "other"]}, "#/columns/1"),
        ({"collectionType": []}, "#/collectionType"),
        ({"collectionType": ["both"]}, "#/collectionType/0"),
        ({"dateRange": {"from": "01/02/2026"}}, "#/dateRange/from"),
        ({"dateRange": {"since": "2026-02-01"}}, "#/dateRange/since"),
        ({"dateRange": {"from": "2026-02-01", "to": "2026-01-01"}}, "#/dateRange/from"),
        ({"domainFilter": "gmail.com, ../etc"}, "#/domainFilter"),
        ({"optoutListId": 7}, "#/optoutListId"),
    ],
)
async def test_a_download_that_makes_no_sense_is_refused_by_its_place(
    world: World, partners: OptOutList, changed: dict[str, Any], pointer: str
):
    body = {"optoutListId": partners.code, "columns": ["plain"], "collectionType": ["imported"], **changed}

    assert told(await ask(world, "POST", "/optout-list/prepare-download", json=body)) == (400, [{"pointer": pointer}])


async def test_a_list_that_is_off_holds_nobody(world: World, partners: OptOutList):
    await collect(world, partners.code, email=ANN)
    await world.services.optout_lists.update(world.brand.id, partners.code, ListPatch(enabled=False))

    assert (await has(world, partners.code, ANN)).json() == {"hasOptout": False}


async def test_head_asks_without_a_body(world: World, partners: OptOutList):
    path = f"/optout-list/has-optout?optoutListId={partners.code}&optout={ANN}"

    answer = await ask(world, "HEAD", path)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_path_that_is_none_is_a_problem_of_this_family(app_client: Client):
    assert told(await app_client.get("/optout-list/nothing")) == (404, [])
    assert told(await app_client.get("/client-optout/collect")) == (405, [])
