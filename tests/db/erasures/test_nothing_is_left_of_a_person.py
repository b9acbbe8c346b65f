"""A person is put into every place where something of people may be kept, and erased: nothing anywhere says who it was."""

import pytest
import structlog

from erasure_world import Erasing, found_in, tables
from people_in_tables import EMAIL, EMPTIED, IP, NAME, OF_IDS_ALONE, PHONE, SAID, everywhere, people_tables, rows
from stentor.db.pool import Database
from stentor.domain.address import email_digest, phone_digest
from stentor.erasures.merging import MergeService

pytestmark = pytest.mark.anyio

MARKS = (NAME, EMAIL, PHONE, SAID, IP)

NOBODY = {
    "It is about users, who sign in and are nobody's customers.": {
        "account_letter",
        "account_user",
        "attempt_bucket",
        "invitation",
        "membership",
        "oidc_identity",
        "second_factor",
        "sign_in_link",
        "user_session",
    },
    "It says how the installation is set up, and who works with it.": {
        "api_key",
        "api_key_use",
        "audit_entry",
        "brand",
        "brand_policy_version",
        "campaign",
        "catalogue_share",
        "client_channel",
        "connector",
        "connector_channel",
        "connector_template",
        "ended_hub_key",
        "event_generator",
        "client_signing",
        "hub_client",
        "hub_number",
        "hub_token",
        "promotion",
        "listener",
        "installation",
        "organisation",
        "optout_grant",
        "optout_list",
        "partner_app",
        "partner_channel",
        "partner_template",
        "publication",
        "sandbox_chaos",
        "schedule",
        "schema_migration",
        "segment",
        "sender",
        "tag",
        "template",
        "template_version",
        "test_recipient",
        "topic",
    },
    "It coordinates work, by ids and numbers.": {
        "batch",
        "chunk",
        "connector_group",
        "connector_run",
        "event_claim",
        "hour_bucket",
        "hour_promise",
        "import_job",
        "occurrence",
        "optout_generation",
        "optout_job",
        "optout_part",
        "optout_run",
        "optout_segment",
        "pull",
        "list_mark",
        "pull_latest",
        "pull_page",
        "pull_sending",
        "pull_watch",
        "pulled_run",
        "listener_day",
        "partner_event",
        "partner_run",
        "partner_run_counter",
        "reconciliation",
        "rate_window",
        "remedy",
        "role_lease",
        "run_bucket",
        "sender_bucket",
        "experiment",
        "slice",
        "step_chunk",
        "step_source",
        "step_turn",
        "stepping",
        "wave",
    },
    "It counts.": {
        "daily_total",
        "fact_tally",
        "reconciliation_line",
        "reported_interaction",
        "reported_metric",
        "reaction_tally",
        "tally",
        "topic_channel",
        "topic_counter",
        "topic_day",
    },
    "It knows ids of what partners told, by hashes.": {"told_fact"},
    "It suppresses, by hashes; the second goes with its execution.": {
        "optout_removed",
        "optout_erasure",
        "address_claim",
    },
    "It is what is left, by a keyed hash.": {"erasure"},
}
"""Tables that hold nothing of people in words, and why."""


async def test_every_table_is_known_to_hold_something_of_people_or_nothing(db: Database):
    known = EMPTIED.union(*NOBODY.values())

    # A table that is new: have an erasure empty it (stentor.erasures) and name it in EMPTIED, or say why it holds nobody.
    assert set(await tables(db)) == known
    assert not EMPTIED & set().union(*NOBODY.values())


async def test_every_table_of_people_is_emptied_that_can_say_anything(db: Database):
    assert await people_tables(db) - EMPTIED == {"address_claim", "told_fact"}


async def test_whoever_is_erased_is_in_no_table_no_file_and_no_log(erasing: Erasing):
    db, brand_id, person = erasing.db, erasing.brand_id, erasing.id_of(NAME)
    await erasing.add(NAME, email=EMAIL, phone=PHONE, push_tokens=[f"{SAID}-token"], attributes={"name": SAID})
    await erasing.add(f"{NAME} of old")
    await MergeService(db).merge(brand_id, NAME, f"{NAME} of old", asked_by="key 7")
    await erasing.add("quentin", email="quentin@example.org", attributes={"name": "quentin"})
    filling, job_id = await everywhere(erasing, person)
    everybody_else = await found_in(db, "quentin")

    before = await found_in(db, *MARKS)
    assert set(before) == EMPTIED - OF_IDS_ALONE
    assert ("delivery_event", "answer") in filling.marked

    with structlog.testing.capture_logs() as logged:
        erased = await erasing.erase(NAME)
        await erasing.complete()

    assert await found_in(db, *MARKS) == {}
    # What is counted and what is proved stays under an id that names nobody.
    assert set(await found_in(db, str(person))) == {
        "cast_member",
        "consent_event",
        "delivery_event",
        "provider_event",
        "pull_row",
        "revocation",
        "send",
        "send_context",
        "step_wait",
    }
    digests = [email_digest(EMAIL).hex(), phone_digest(PHONE).hex()]
    assert set(await found_digests(db, digests)) == {"optout_recent", "optout_lifted"}
    for file in erasing.lists.rglob("*"):
        if file.is_file():
            assert not any(mark.encode() in file.read_bytes() for mark in (*MARKS, str(person)))
    assert not any(mark in repr(logged) for mark in MARKS)
    assert await found_in(db, "quentin") == everybody_else
    assert await rows(db, "SELECT status FROM idempotency_key") == [(410,)]
    assert await rows(db, "SELECT count(*) FROM import_reject WHERE job_id = %s", [job_id]) == [(1,)]
    assert erased.erasure.brand_id == brand_id


async def found_digests(db: Database, digests: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in await tables(db):
        query = f'SELECT count(*) FROM "{table}" t WHERE EXISTS (SELECT FROM unnest(%s::text[]) n WHERE strpos(t::text, n) > 0)'  # noqa: S608
        ((count,),) = await rows(db, query, [digests])
        if count:
            found[table] = count
    return found
