"""The audit log: every change of configuration is in it, with who made it, and nothing is ever taken out."""

import csv
import io
import json
from asyncio import gather
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from httpx import Response

from api_world import World
from owned_things import Brand, ask, harvested, operations
from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.audit import MEMBER_BYTES_MAX, THING_BYTES_MAX, forget_audit, record
from stentor.db.pool import Database
from stentor.wiring.core import Core, account_links

pytestmark = pytest.mark.anyio

_PEOPLE = "It changes people's data, of which the consent ledger, erasures, the lists' entries and the imports tell."
_FLOW = "It starts or ends an execution, or says how it goes on: executions keep who triggered them, and their books."
_FILES = "It works on a file, and is a job with a record of its own."
_LOOKS = "It changes nothing."
_INBOX = "It clears up in the sandbox, where nobody's messages are."

_ORGANISATION = "Its entry is the organisation's, which no group shows: see tests/api/test_organisations_api.py."

_EXPERIMENT = "No execution waits for a winner here: see tests/api/test_experiments_api.py."

_FETCHED = "It hands people over to a service: each pull, and each of its pages, says who fetched it and when."

NOT_AUDITED = {
    "acknowledgePullLease": _FETCHED,
    "addOptoutEntries": _PEOPLE,
    "beginImport": _FILES,
    "cancelExecution": _FLOW,
    "cancelExperiment": _EXPERIMENT,
    "cancelImport": _FILES,
    "checkConnector": _LOOKS,
    "checkOptoutEntries": _LOOKS,
    "checkTemplate": _LOOKS,
    "chooseWinner": _EXPERIMENT,
    "collectOptout": _PEOPLE,
    "countExpression": _LOOKS,
    "createBatch": _PEOPLE,
    "createOrganisationGroup": _ORGANISATION,
    "createOrganisationKey": _ORGANISATION,
    "createProfile": _PEOPLE,
    "createProfileTag": _PEOPLE,
    "createPull": _FETCHED,
    "deleteInboxMessage": _INBOX,
    "deleteOptoutJob": _FILES,
    "deleteProfile": _PEOPLE,
    "deleteProfileTag": _PEOPLE,
    "emptyInbox": _INBOX,
    "eraseCustomer": _PEOPLE,
    "eraseCustomers": _PEOPLE,
    "eraseOptoutAddress": _PEOPLE,
    "exportOptouts": _FILES,
    "findOptoutAddress": _LOOKS,
    "findOptoutEntry": _LOOKS,
    "importOptouts": _FILES,
    "inviteMember": _ORGANISATION,
    "leasePullRows": _FETCHED,
    "mergeProfile": _PEOPLE,
    "mergeProfiles": _PEOPLE,
    "pauseExecution": _FLOW,
    "prepareOptoutDownload": _FILES,
    "prepareOptoutUpload": _FILES,
    "previewDraft": _LOOKS,
    "previewTemplate": _LOOKS,
    "putPreferences": _PEOPLE,
    "releasePullLease": _FETCHED,
    "removeMember": _ORGANISATION,
    "removeOptoutEntry": _PEOPLE,
    "renameOrganisation": _ORGANISATION,
    "renameOrganisationGroup": _ORGANISATION,
    "replaceProfile": _PEOPLE,
    "resolveUnknownSends": _FLOW,
    "resumeExecution": _FLOW,
    "retryFailedSends": _FLOW,
    "revokeOrganisationKey": _ORGANISATION,
    "runCampaign": _FLOW,
    "runEventGenerator": _FLOW,
    "runSmartCampaign": _FLOW,
    "scrubByOptouts": _FILES,
    "sendMessages": _FLOW,
    "setMemberRole": _ORGANISATION,
    "stopImport": _FILES,
    "streamBatch": _PEOPLE,
    "subscribe": _PEOPLE,
    "tagProfile": _PEOPLE,
    "takeBreak": _PEOPLE,
    "tellEvents": _PEOPLE,
    "tellPartnerEvents": _PEOPLE,
    "unsubscribe": _PEOPLE,
    "untagProfile": _PEOPLE,
    "updateCustomer": _PEOPLE,
    "updateProfile": _PEOPLE,
    "uploadImport": _FILES,
    "upsertCustomer": _PEOPLE,
    "upsertCustomers": _PEOPLE,
    "withdrawInvitation": _ORGANISATION,
}


async def entries_of(world: World, **narrowed: str) -> list[dict[str, Any]]:
    answer = await world.ask("GET", "/audit", params={"limit": "100", **narrowed})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def how_many(world: World) -> int:
    """All entries there are, page by page."""
    found, cursor = 0, None
    while True:
        asked = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        page = (await world.ask("GET", "/audit", params=asked)).json()
        found, cursor = found + len(page["data"]), page["next_cursor"]
        if cursor is None:
            return found


async def made(answer: Response) -> dict[str, Any]:
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def test_a_change_tells_who_made_it_and_what_differs(world: World):
    said = {"key": "team-42", "name": "Team 42", "channels": ["email"]}
    topic = await made(await world.ask("POST", "/topics", json=said))
    await world.ask("PATCH", "/topics/team-42", json={"name": "Team forty-two"})
    await world.ask("PATCH", "/topics/team-42", json={"name": "Team forty-two"})
    await world.ask("DELETE", "/topics/team-42")

    number = world.token.partition("|")[0]
    found = await entries_of(world, thing_kind="topic", thing_id=topic["id"], actor_kind="key", actor_id=number)
    assert [entry["action"] for entry in found] == ["topic.deleted", "topic.updated", "topic.created"]
    assert (found[1]["before"], found[1]["after"]) == ({"name": "Team 42"}, {"name": "Team forty-two"})
    assert (found[2]["before"], found[2]["after"]["channels"]) == (None, ["email"])
    assert found[0]["before"]["key"] == "team-42"
    assert {entry["actor"]["id"] for entry in found} == {number}
    assert {entry["actor"]["ip"] for entry in found} == {"127.0.0.1"}
    assert await entries_of(world, until=found[-1]["at"], thing_kind="topic") == []
    assert await entries_of(world, actor_kind="user") == []


async def test_a_change_that_is_refused_leaves_nothing(world: World):
    before = await entries_of(world)
    refused = await world.ask("POST", "/topics", json={"key": "x", "name": " ", "channels": ["email"]})

    assert refused.status_code == 400
    assert await entries_of(world) == before


async def test_secrets_and_what_is_long_are_left_out(world: World, db: Database):
    sender = await made(
        await world.ask(
            "POST",
            "/senders",
            json={
                "name": "relay",
                "channel": "email",
                "kind": "smtp",
                "settings": {"host": "smtp.example.org", "username": "club", "envelope_from": "b@club.example"},
                "secret": "hunter2hunter2",
                "enabled": False,
            },
        )
    )
    await world.ask("PATCH", f"/senders/{sender['id']}", json={"secret": "correct horse"})
    key = await made(await world.ask("POST", "/keys", json={"name": "k"}))
    content = {"subject": "Hi", "html": f"<p>{'x' * MEMBER_BYTES_MAX}</p>", "text": "Hi"}
    draft = {"name": "long", "channel": "email", "default_language": "en", "variants": {"en": content}}
    await made(await world.ask("POST", "/templates", json=draft))
    many = {f"member {number}": "y" * 4000 for number in range(20)}
    with as_actor(Actor("cli", label="root\x00\ud800")):
        async with db.transaction() as conn:
            await record(conn, "test.made", 1, brand_id=world.brand.id, after={"api_token": "t0p", "ok": True})
            await record(conn, "test.made", 2, brand_id=world.brand.id, after=many)

    told = await world.ask("GET", "/audit/export.ndjson")
    for secret in ("hunter2hunter2", "correct horse", key["api_key"], "t0p", "y" * 100, "x" * 100):
        assert secret not in told.text
    changed = (await entries_of(world, thing_id=sender["id"]))[0]
    assert changed["after"] == {"new_secret": True}
    by_id = {entry["thing"]["id"]: entry for entry in await entries_of(world, thing_kind="test")}
    assert by_id["1"]["after"] == {"api_token": "(left out)", "ok": True}
    assert by_id["1"]["actor"] == {"kind": "cli", "id": "", "label": "root\ufffd\ufffd", "ip": ""}
    assert len(json.dumps(by_id["2"]["after"])) < THING_BYTES_MAX
    assert by_id["2"]["after"].keys() == many.keys()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor_label = 'nobody'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "SELECT set_config('stentor.audit_kept_from', '1999-01-01', true); DELETE FROM audit_entry",
        "SELECT set_config('stentor.audit_kept_from', '2999-01-01', true); DELETE FROM audit_entry",
        "SET LOCAL session_replication_role = replica; DELETE FROM audit_entry",
    ],
)
async def test_the_database_takes_no_entry_back(world: World, db: Database, statement: str):
    async with db.transaction() as conn:
        *before, refused = statement.split("; ")
        for each in before:
            await conn.execute(each.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added to"):
            async with conn.transaction():
                await conn.execute(refused.encode())
    assert await entries_of(world)


async def test_entries_are_forgotten_by_age_and_only_where_that_is_set(world: World, db: Database):
    async with db.transaction() as conn:
        await record(conn, "test.made", 1, brand_id=world.brand.id)
        await conn.execute("ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_is_kept")
        await conn.execute("UPDATE audit_entry SET at = at - interval '31 days' WHERE action = 'test.made'")
        await conn.execute("ALTER TABLE audit_entry ENABLE TRIGGER audit_entry_is_kept")
    before = await entries_of(world)

    assert await forget_audit(db, days=None) == 0
    assert await forget_audit(db, days=32) == 0
    assert await entries_of(world) == before
    assert await forget_audit(db, days=30) == 1
    assert await entries_of(world) == [entry for entry in before if entry["action"] != "test.made"]
    # Whatever is set, and whatever is asked of the keeper.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await forget_audit(db, days=0)


async def test_no_key_of_a_group_shortens_the_log_of_what_it_did(world: World):
    accounts = world.services.accounts
    of_all = await accounts.create_key("all", organisation_id=world.brand.organisation_id, scopes=["admin"])

    refused = await world.ask("PUT", "/retention", json={"audit_days": 30})
    shortened = await world.ask("PUT", "/retention", token=of_all.token, json={"audit_days": 90})
    forgotten = await world.ask("PUT", "/retention", json={"event_days": 9})
    as_it_is = await world.ask("PUT", "/retention", json={"event_days": 9, "audit_days": 90})

    assert [refused.status_code, shortened.status_code, forgotten.status_code] == [403, 200, 403]
    assert "send `audit_days` as it is, 90" in forgotten.json()["detail"]
    assert (as_it_is.json()["event_days"], as_it_is.json()["audit_days"]) == (9, 90)


async def test_an_export_is_whole_and_one_for_spreadsheets_has_no_formulas(world: World, other_world: World):
    label = "=cmd|'/C calc'!A0"
    with as_actor(Actor("user", "u-1", label, "192.0.2.7")):
        await world.services.accounts.update_brand_settings(world.brand.id, {"from_name": 'Fans, "us"'})
    whole = await world.ask("GET", "/audit/export.ndjson", params={"actor_kind": "user"})
    table = await world.ask("GET", "/audit/export.csv", params={"actor_kind": "user"})
    sheet = await world.ask("GET", "/audit/export.csv", params={"actor_kind": "user", "spreadsheet": "true"})

    (entry,) = [json.loads(line) for line in whole.text.splitlines()]
    assert (entry["action"], entry["after"]) == ("brand.updated", {"from_name": 'Fans, "us"'})
    (row,) = csv.DictReader(io.StringIO(table.text))
    assert (row["actor_label"], json.loads(row["after"])) == (label, {"from_name": 'Fans, "us"'})
    (cells,) = csv.DictReader(io.StringIO(sheet.text))
    assert cells["actor_label"] == f"'{label}"
    assert ".spreadsheet.csv" in sheet.headers["content-disposition"]
    assert (await world.ask("GET", "/audit", params={"since": "1750000000"})).status_code == 400
    assert str(world.brand.id) not in (await other_world.ask("GET", "/audit/export.ndjson")).text
    weaker = await world.key("read", "write", "run")
    assert (await world.ask("GET", "/audit", token=weaker)).status_code == 403
    assert (await world.ask("GET", "/audit/export.ndjson", token=weaker)).status_code == 403


async def test_of_a_webhook_the_log_has_scheme_and_host_and_that_it_changed(world: World):
    said = {
        "name": "hook",
        "channel": "webhook",
        "kind": "webhook",
        "secret": "whsec_" + "c2VjcmV0" * 4,
        "enabled": False,
    }
    urls = [f"https://hooks.example.com/{secret}?token={secret}" for secret in ("canary1", "canary2")]
    sender = await made(await world.ask("POST", "/senders", json={**said, "settings": {"url": urls[0]}}))
    path = f"/senders/{sender['id']}"
    for url in (urls[1], urls[1], urls[0]):
        await made(await world.ask("PATCH", path, json={"settings": {"url": url}, "secret": said["secret"]}))

    whole = (await world.ask("GET", "/audit/export.ndjson")).text
    changed, first, _ = await entries_of(world, thing_id=sender["id"])
    told = [entry[when]["settings"]["url"] for entry in (first, changed) for when in ("before", "after")]
    assert "canary" not in whole
    assert {each["url"] for each in told} == {"https://hooks.example.com/…"}
    assert told[0] == told[3] != told[1] == told[2]
    assert first["after"].keys() == {"settings"}


async def test_every_operation_that_changes_configuration_leaves_one_entry(
    world: World, other_world: World, installation: Core
):
    owned = await harvested(world) | {"grantee_id": str(other_world.brand.id)}
    spare = await _deletable(world)
    routes = [{"channel": "sms", "template_id": owned["template_id"]}]
    of_batch = {"kind": "batch", "consent_basis": "channel", "routes": routes}
    batch = await made(await world.ask("POST", "/campaigns", json={"name": "B", **of_batch}))
    running = await made(await world.ask("POST", "/campaigns", json={"name": "Running", **of_batch}))
    await made(await world.ask("POST", "/test-recipients", json={"address": "+358401112222"}))
    code = account_links(installation).token("test_recipient", UUID(owned["test_recipient_id"]))
    await made(await world.ask("POST", "/partner-channels", json={"name": "spare", "channel": "sms", "number": 778}))
    own_ids = {
        "deletePartnerChannel": {"channel_number": "778"},
        "publishCampaign": {"campaign_id": batch["id"]},
        "changeSchedule": {"schedule_id": await _schedule_of_batch(world, running["id"])},
    }
    bodies = {
        "createCampaign": {"name": "new", "routes": routes},
        "replaceCampaign": {"name": "other", "routes": routes},
        "createEventGenerator": {"id": "new", "name": "new", "campaign_id": owned["campaign_id"]},
        "replaceEventGenerator": {"name": "other", "campaign_id": owned["campaign_id"]},
        "createSchedule": _schedule("new"),
        "replaceSchedule": _schedule("other"),
        "changeSchedule": {"start_at": _in_days(2)},
        "updateOptoutList": {"expiry_days": 365},
        "createHubClient": {"name": "new", "username": "new", "channels": [{"number": 777}]},
        "changeHubClient": {"name": "other"},
        "createConnector": {
            "name": "new",
            "url": "https://hub.example.org",
            "secret": "key",
            "channels": [{"number": 505, "campaign_id": running["id"]}],
        },
        "createListener": {"client_id": owned["client_id"], "event": "day_closed", "url": "https://hooks.example.org/"},
        "updateListener": {"url": "https://hooks.example.org/other"},
        "confirmTestRecipient": {"code": code},
        "testCampaign": {"to": ["+358401112222"], "wait_s": 0},
    }
    here = await Brand.of(world, owned)
    wrong: dict[str, str] = {}
    audited = [each for each in await operations(world.client) if each.method != "GET" and each.id not in NOT_AUDITED]
    for operation in sorted(audited, key=lambda each: (_TURN[each.method], not each.id.startswith("revoke"), each.id)):
        ids = owned | (spare if operation.method == "DELETE" else {}) | own_ids.get(operation.id, {})
        body = {"json": bodies[operation.id]} if operation.id in bodies else None
        before = await how_many(world)
        # Twice at once: whoever comes second finds it done, and changes nothing.
        answers = await gather(*(ask(world.client, operation, world.token, here, ids, body) for _ in range(2)))
        entries = await how_many(world) - before
        done = [answer.status_code for answer in answers if answer.status_code < 300]
        if not done:
            wrong[operation.id] = f"say here how to ask it, or above why it leaves no entry: {answers[0].text}"
        elif entries != (len(done) if operation.id in _MADE_AGAIN else 1):
            wrong[operation.id] = f"it left {entries} entries, answering {done}"

    assert wrong == {}


# Made twice, there are two of them; what is sent again or changed for another twice, is twice.
_MADE_AGAIN = {"createKey", "testCampaign", "testSender", "replayNotices", "rotateHubClient", "rotateSigningSecret"}

# What is replaced can be published, what is resumed was paused, and what is revoked is still there: it is deleted last.
_TURN = {"PUT": 0, "PATCH": 1, "POST": 2, "DELETE": 3}


def _schedule(name: str) -> dict[str, Any]:
    call: dict[str, Any] = {"event_generator_id": "theirs", "topic_key": "theirs", "context": {}}
    return {"name": name, **call, "time_zone": "UTC", "cron": "0 9 * * *"}


async def _schedule_of_batch(world: World, campaign: str) -> str:
    """The schedule of a batch that is to come, for the campaign, which is published now."""
    await made(await world.ask("POST", f"/campaigns/{campaign}/publish"))
    schedule = {"start_at": _in_days(1), "campaign": {"uuid": campaign}}
    profile = {"external_id": "one", "person": {"email_address": "one@example.org"}}
    batch = await world.ask("POST", "/batches", json={"profiles": [profile], "schedule": schedule})
    return (await made(batch))["schedule"]["uuid"]


def _in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S}"


async def _deletable(world: World) -> dict[str, str]:
    """Things that nothing else needs."""
    draft = {"name": "spare", "channel": "sms", "default_language": "en", "variants": {"en": {"text": "Hi"}}}
    template = await made(await world.ask("POST", "/templates", json=draft))
    used = await made(await world.ask("POST", "/templates", json={**draft, "name": "used"}))
    routes = [{"channel": "sms", "template_id": used["id"]}]
    campaign = await made(await world.ask("POST", "/campaigns", json={"name": "spare", "routes": routes}))
    await made(await world.ask("POST", "/topics", json={"key": "spare", "name": "Spare", "channels": ["sms"]}))
    return {"template_id": template["id"], "campaign_id": campaign["id"], "topic_id": "spare"}
