"""Pages of a brand open by the role in it: every path and every form of them, for everybody who has no business there."""

import re
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient, Response

from browsing import all_scripts_are_ours, form_token, without_nonce
from console_world import OWN, ConsoleWorld, a_campaign, a_pull, a_run, a_schedule
from page_weight import page_weight
from stentor.audience.held_imports import HeldFiles
from stentor.audience.model import CustomerPatch, TopicDraft
from stentor.audience.segments import expressions as ex
from stentor.campaigns.model import GeneratorDraft
from stentor.channels.model import NewSender
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import ListDraft
from stentor.wiring.core import data_directory

pytestmark = pytest.mark.anyio

NOTHING = UUID(int=7)
ADMINS_ALONE = {"/settings/audit", "/settings/audit.csv"}
"""Pages that tell who did what."""
# On the first load, compressed; the editor of templates brings its own.
PAGE_BYTES_MAX = 150 * 1024
EDITOR_BYTES_MAX = 350 * 1024
ASKS_ONLY = {"/optouts/find", "/optouts/lists/{list_id}/find", "/segments/count", "/schedules/next", "/templates/frame"}
"""Forms that change nothing: whoever may read may send them."""
FOR_WRITERS = ("/new", "/erase", "/merge")
"""Forms that are not even shown to whoever may only read."""
LEADING_ON = ("/by-id/{external_id}",)
"""Addresses that lead to a page with another one."""
FRAMES = ("/frame", "/people/{external_id}/{channel}")
"""Messages of others in a frame, which have a policy of their own and nothing of ours."""
PARTS = ("/variants",)
"""Parts of a page that are asked for when somebody opens them."""
NOT_OF_THIS_RUN = ("/arms", "/person")
"""The run that is made here has no experiment, and nobody in it yet."""


def paths(console: ConsoleWorld, method: str) -> list[str]:
    """The pages, or the forms, of a brand, as the router has them."""
    return [
        route.path_format
        for route in console.app.routes
        if route.path_format.startswith("/console/brands/")
        and method in getattr(route, "methods", ())
        # Streams go on; test_pages_that_move.py asks for them.
        and not route.path_format.endswith("/live")
    ]


async def theirs(console: ConsoleWorld, brand_id: UUID) -> dict[str, str]:
    """Ids of things of that brand, by the names that paths give them."""
    brand = await console.services.accounts.brand(brand_id)
    segment = await console.services.segments.create(brand_id, "Theirs", ex.Known(field="email"))
    campaign = await a_campaign(console, brand_id)
    schedule = await a_schedule(console, brand_id, campaign.id, segment.id)
    execution = await a_run(console, campaign.id, segment.id, brand_id)
    await console.services.partner_channels.create(brand_id, "Theirs", ChannelKind.SMS, number=777)
    client = (await console.services.hub_clients.create(brand_id, "Theirs", f"hub-{brand_id}", {777: ["Email"]})).client
    await console.services.customers.upsert(brand_id, CustomerPatch(external_id="theirs", email="their@example.org"))
    files = HeldFiles(data_directory(console.core.settings) / "imports")
    pieces = iter([b"external_id\ncrm-1\n", b""])

    async def read(_: int) -> bytes:
        return next(pieces)

    held = await files.keep(brand_id, "crm.csv", "customers", "csv", read)
    job = await console.services.imports.begin(brand_id, "customers", "csv", "crm.csv")
    listener = await console.services.listeners.register(
        brand_id, client.id, 1, "https://partner.example.org/hook", 777
    )
    recipient = await console.services.test_recipients.add(brand, "editor@example.org", "")
    sender = await console.services.senders.create(
        brand_id, NewSender(name="Theirs", channel=ChannelKind.EMAIL, kind="sandbox")
    )
    topic = TopicDraft(key="theirs", name="Theirs", channels=ChannelKind.EMAIL.bit)
    optouts = await console.services.optout_lists.create(brand_id, ListDraft(name="Theirs"))
    said = GeneratorDraft(name="Theirs", campaign_id=campaign.id)
    await console.services.generators.create(brand_id, said, generator_id=f"theirs-{brand_id}")
    share = await console.services.catalogue_shares.make(brand_id, note="", days=1, made_by="")
    return {
        "pull_id": str(await a_pull(console, brand_id, execution, 777)),
        "topic_id": str((await console.services.topics.create(brand_id, topic)).id),
        "list_id": str(optouts.id),
        "job_id": str((await console.services.optout_jobs.prepare_import(brand_id, str(optouts.id))).id),
        "sender_id": str(sender.id),
        "recipient_id": str(recipient.id),
        "generator_id": f"theirs-{brand_id}",
        "share_id": str(share.id),
        "where": "0",
        "file": "catalogue.md",
        "channel_number": "777",
        "client_id": str(client.id),
        "listener_id": str(listener.id),
        "segment_id": str(segment.id),
        "campaign_id": str(campaign.id),
        "template_id": str(campaign.routes[0].template_id),
        "number": "1",
        "channel": "email",
        "schedule_id": str(schedule.id),
        "execution_id": str(execution),
        "customer_id": str(customer_id(brand_id, "theirs")),
        "external_id": "theirs",
        "file_id": str(held.id),
        "import_id": str(job.id),
    }


async def ask(at: AsyncClient, method: str, path: str, ids: dict[str, str], token: str) -> Response:
    filled = re.sub(r"{(\w+)}", lambda name: ids.get(name[1], str(NOTHING)), path)
    if method == "GET":
        return await at.get(filled)
    return await at.post(filled, data={"form_token": token, "do": "save"}, headers=OWN)


async def test_foreign_things_are_not_there_for_anybody(console: ConsoleWorld):
    other = await console.services.accounts.create_brand("Other")
    ids: dict[str, Any] = await theirs(console, other.id)
    mine, foreign = await console.enters("admin"), await console.enters("admin", other)
    nobody = console.browser()
    token = form_token(await mine.get("/console/account"))
    foreign_token = form_token(await foreign.get("/console/account"))
    blank_token = form_token(await nobody.get("/console/sign-in"))

    for method in ("GET", "POST"):
        for path in paths(console, method):
            their_brand, my_brand = {**ids, "brand_id": str(other.id)}, {**ids, "brand_id": str(console.brand.id)}
            no_brand = {**ids, "brand_id": str(NOTHING)}
            told = [
                await ask(mine, method, path, their_brand, token),
                await ask(mine, method, path, no_brand, token),
                await ask(foreign, method, path, my_brand, foreign_token),
            ]
            assert [each.status_code for each in told] == [404, 404, 404], path
            assert without_nonce(told[0]) == without_nonce(told[1])
            if "_id}" in path.replace("{brand_id}", ""):
                assert (await ask(mine, method, path, my_brand, token)).status_code == 404, path
            alone = await ask(nobody, method, path, my_brand, blank_token)
            assert (alone.status_code, alone.headers["location"].partition("?")[0]) == (303, "/console/sign-in"), path
    assert len(paths(console, "POST")) >= 4


async def test_a_viewer_reads_everything_and_changes_nothing(console: ConsoleWorld):
    ids = {**await theirs(console, console.brand.id), "brand_id": str(console.brand.id)}
    viewer, marketer = await console.enters("viewer"), await console.enters("marketer")
    token = form_token(await viewer.get("/console/account"))

    for path in paths(console, "GET"):
        is_closed = path.removeprefix("/console/brands/{brand_id}") in ADMINS_ALONE
        wanted = 303 if path.endswith(LEADING_ON) else 404 if path.endswith(NOT_OF_THIS_RUN) else 200
        theirs_is = 403 if is_closed else wanted
        wanted = 403 if path.endswith(FOR_WRITERS) or is_closed else wanted
        answer = await ask(viewer, "GET", path, ids, token)
        assert (answer.status_code, 'class="btn primary"' in answer.text) == (wanted, False), path
        assert (await ask(marketer, "GET", path, ids, token)).status_code == theirs_is, path
    for path in paths(console, "POST"):
        wanted = 200 if path.removeprefix("/console/brands/{brand_id}") in ASKS_ONLY else 403
        assert (await ask(viewer, "POST", path, ids, token)).status_code == wanted, path


async def test_pages_of_a_brand_have_no_inline_style_or_script_and_a_label_for_each_field(console: ConsoleWorld):
    ids = {**await theirs(console, console.brand.id), "brand_id": str(console.brand.id)}
    at = await console.enters("owner")

    for path in ["/console", *paths(console, "GET")]:
        page = await ask(at, "GET", path, ids, "")
        if path.endswith((*LEADING_ON, *NOT_OF_THIS_RUN)) or "html" not in page.headers["content-type"]:
            continue
        assert page.status_code == 200, path
        if not page.headers["content-type"].startswith("text/html"):
            continue
        if path.endswith(FRAMES):
            assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'"), path
            continue
        assert " style=" not in page.text
        assert " on" not in re.sub(r'"[^"]*"', '""', " ".join(re.findall(r"<[a-z][^>]*>", page.text)))
        assert all_scripts_are_ours(page), path
        assert await page_weight(at, page) <= (EDITOR_BYTES_MAX if "/templates/" in path else PAGE_BYTES_MAX), path
        labelled = re.findall(r'<label\b[^>]*\bfor="([^"]+)"', page.text)
        fields = re.findall(r'<(?:input|select|textarea)[^>]*\bid="([^"]+)"', page.text)
        assert sorted(set(fields) - set(labelled)) == []
        ids_there = re.findall(r'\bid="([^"]+)"', page.text)
        assert len(ids_there) == len(set(ids_there)), path
        assert len(re.findall(r"<h1", page.text)) == (not path.endswith(PARTS)), path
