"""Two profiles of one person become one: what moves, what is stricter wins, and who is written to from then on."""

import pytest

from erasure_world import Erasing, found_in
from people_in_tables import EMPTIED, everywhere, people_tables, rows
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.audience.profile_service import ProfileService
from stentor.audience.subscriptions import SubscriptionService
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.merging import MergeService
from stentor.errors import Conflict, Invalid, NotFound, Unprocessable
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit
CLICK = Act(source=Source.ONE_CLICK)

MOVED = {"contact", "customer_event", "customer_tag", "subscription"}
"""Tables whose rows are the survivor's afterwards."""

OF_BOTH = {"customer", "address_owner", "customer_past", "consent_event", "customer_merged"}
"""Tables that a merge writes of both, or of who is left."""

HISTORY = {
    "notice",
    "cast_member",
    "clearance",
    "connector_person",
    "connector_refused",
    "delivery_event",
    "execution",
    "idempotency_key",
    "import_reject",
    "provider_event",
    "pull_row",
    "revocation",
    "sandbox_message",
    "sandbox_skeleton",
    "send",
    "send_context",
    "send_revocation",
    "step_wait",
}
"""Tables that say what happened to the other one, under their id: whoever is asked about a message finds it as it was sent."""

BY_ADDRESS = {"address_claim", "optout_lifted", "optout_recent"}
"""Tables that know addresses, and nobody's id."""

BY_HASH = {"told_fact"}
"""Tables that know neither, only that something was told."""


async def merge(erasing: Erasing, into: str = "new", other: str = "old") -> None:
    await MergeService(erasing.db).merge(erasing.brand_id, into, other, asked_by="key 7")


async def test_every_table_of_people_has_an_answer(erasing: Erasing):
    # A table that is new: say what a merge does with it (stentor.erasures.merging), and name it above.
    assert await people_tables(erasing.db) | EMPTIED <= MOVED | OF_BOTH | HISTORY | BY_ADDRESS | BY_HASH
    old, new = await erasing.add("old", email="old@example.org"), await erasing.add("new", email="new@example.org")
    await everywhere(erasing, old)

    await merge(erasing)

    of_old, of_new = set(await found_in(erasing.db, str(old))), set(await found_in(erasing.db, str(new)))
    assert not of_old & MOVED
    assert of_new >= MOVED
    assert of_old - {"customer_past", "consent_event", "customer_merged"} <= HISTORY
    assert of_old >= {"send", "send_context", "delivery_event", "provider_event", "cast_member", "sandbox_message"}
    for table in ("customer", "address_owner"):
        assert table not in of_old


async def test_the_survivor_takes_what_it_has_none_of_and_a_no_beats_a_yes(erasing: Erasing):
    old, new = await erasing.add("old"), await erasing.add("new")
    await erasing.customers.upsert_many(
        erasing.brand_id,
        [
            CustomerPatch(
                external_id="old", email="old@example.org", phone="+4915112345678", attributes={"a": 1, "b": 1}
            ),
            CustomerPatch(external_id="new", email="new@example.org", locale="de", attributes={"b": 2}),
        ],
    )
    async with erasing.db.transaction() as conn:
        await conn.execute("UPDATE customer SET agreed_mask = %s WHERE customer_id = %s", [EMAIL | SMS, new])
        await conn.execute(
            "UPDATE customer SET refused_mask = %s, bounced_mask = %s WHERE customer_id = %s", [EMAIL, EMAIL, old]
        )
    subscriptions, topic = SubscriptionService(erasing.db), str(erasing.world.topic_id)
    for name in ("old", "new"):
        await subscriptions.subscribe(erasing.brand_id, name, topic, EMAIL | SMS, CLICK)
    await subscriptions.unsubscribe(erasing.brand_id, "old", topic, SMS, CLICK)

    await merge(erasing)
    await merge(erasing)

    one = await erasing.customers.get(erasing.brand_id, "new")
    assert (one.email, one.phone, one.locale) == ("new@example.org", "+4915112345678", "de")
    assert one.attributes == {"a": 1, "b": 2}
    assert (one.agreed_mask, one.refused_mask, one.bounced_mask) == (SMS, EMAIL, 0)
    assert [(of.customer_id, of.channels) for of in await subscriptions.of_topic(erasing.brand_id, "news")] == [
        (new, EMAIL)
    ]
    assert await rows(erasing.db, "SELECT sum(subscribers)::integer FROM topic_counter") == [(1,)]
    assert await rows(erasing.db, "SELECT customers FROM address_owner WHERE channel = 2") == [([new],)]
    # The other's address was refused and dead, and nobody has it now who would say so.
    assert await rows(erasing.db, "SELECT cause, source FROM optout_recent") == [("bounce", "merge")]
    ledger = await subscriptions.ledger(erasing.brand_id, "old")
    assert {(line.kind, line.source, line.note) for line in ledger if line.source == "merge"} == {
        ("unsubscribed", "merge", "merged into new"),
        ("unset", "merge", "merged into new"),
    }


async def test_nobody_is_written_to_as_the_other_and_old_links_speak_of_the_survivor(erasing: Erasing):
    world, engine = erasing.world, Engine(erasing.db, channel := ScriptedChannel())
    old, _new = await world.people([Someone("old"), Someone("new")])
    before = await world.execution(await world.publication())
    await engine.plan()
    await merge(erasing)
    await engine.drain()
    assert channel.addresses == ["new@example.com"]
    assert (await world.fates(before))["new"] == "handed_over"

    await SubscriptionService(erasing.db).withdraw_all(erasing.brand_id, old, CLICK)
    after = await world.execution(await world.publication())
    await engine.drain()
    assert await world.fates(after) == {"new": "skipped unsubscribed"}

    found = await ProfileService(erasing.db).find(erasing.brand_id, "old")
    assert found.external_id == "new"
    with pytest.raises(Invalid, match="merged into 'new'"):
        await erasing.add("old", email="back@example.org")


async def test_merges_in_a_row_are_one_person_and_are_erased_as_one(erasing: Erasing):
    for name in ("first", "second", "third", "other"):
        await erasing.add(name, email=f"{name}@markerson.example")
    await merge(erasing, "second", "first")
    await merge(erasing, "third", "second")
    survivors = await rows(erasing.db, "SELECT DISTINCT merged_into FROM customer_merged")
    assert survivors == [(erasing.id_of("third"),)]
    with pytest.raises(Conflict, match="was merged into the profile"):
        await merge(erasing, "other", "first")
    with pytest.raises(Invalid, match="same profile"):
        await merge(erasing, "third", "third")
    with pytest.raises(NotFound):
        await merge(erasing, "third", "nobody")

    erased = await erasing.erase("first")
    await erasing.complete()

    assert erased.is_new
    assert await rows(erasing.db, "SELECT count(*)::integer FROM erasure") == [(3,)]
    assert await rows(erasing.db, "SELECT external_id FROM customer") == [("other",)]
    assert await found_in(erasing.db, "first", "second", "third@") == {}
    # Who comes back under one of the ids is somebody new.
    await erasing.add("second", email="new@example.org")


async def test_attributes_that_are_too_large_together_leave_two_people(erasing: Erasing):
    for name in ("old", "new"):
        await erasing.add(name, attributes={f"{name}_{number}": "x" * 1000 for number in range(60)})

    with pytest.raises(Unprocessable, match="Together the attributes would have"):
        await merge(erasing)

    assert await rows(erasing.db, "SELECT count(*)::integer FROM customer") == [(2,)]
    assert await rows(erasing.db, "SELECT count(*)::integer FROM customer_merged") == [(0,)]
