from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from sandbox_letters import SEND_IDS, Letter, deliver, letter, reassemble, wave_for
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.sandbox.model import ChaosRule, InboxLimits, InboxPosition
from stentor.channels.sandbox.pruning import prune_inbox, prune_inboxes
from stentor.db.pool import Database
from stentor.domain.ids import SendIds, new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio


async def names(inbox: InboxService, brand_id: UUID, **asked: Any) -> list[str]:
    page = await inbox.page(brand_id, **asked)
    return [entry.recipient.partition("@")[0] for entry in page.entries]


async def send(db: Database, sandbox: SandboxChannel, brand_id: UUID, *letters: Letter) -> None:
    """Each in a wave of its own, so that their order in time is theirs in the list."""
    for one in letters:
        await deliver(db, sandbox, wave_for(brand_id, SEND_IDS.decode(one.send_id)[2]), [one])


async def test_the_newest_message_comes_first(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    await send(db, sandbox, brand_id, *(letter(brand_id, f"{name}@example.com") for name in "abc"))

    assert await names(inbox, brand_id) == ["c", "b", "a"]


async def test_pages_hold_each_message_once_also_those_of_one_wave_while_new_ones_arrive(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    execution_id = new_id()
    wave = [letter(brand_id, f"{n}@example.com", execution_id=execution_id) for n in range(23)]
    await deliver(db, sandbox, wave_for(brand_id), wave)

    seen: list[str] = []
    before: InboxPosition | None = None
    while True:
        page = await inbox.page(brand_id, before=before, limit=5)
        seen += [entry.id for entry in page.entries]
        await send(db, sandbox, brand_id, letter(brand_id, "late@example.com"))
        before = page.next
        if before is None:
            break

    assert sorted(seen) == sorted(one.send_id for one in wave)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ANN", ["ann"]),
        ("example.com", ["ben", "ann"]),
        ("100%", ["ben"]),
        ("_", []),
        ("anpfiff für", ["ann"]),
        ("ANPFIFF FÜR", ["ann"]),
        ("'; DROP TABLE brand", []),
        ("\\", []),
    ],
)
async def test_a_search_finds_a_part_of_the_recipient_or_subject_whatever_its_case(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID, search: str, found: list[str]
):
    letters = [
        letter(brand_id, "ann@example.com", subject="Anpfiff für München"),
        letter(brand_id, "ben@example.com", subject="100% yours"),
    ]
    await send(db, sandbox, brand_id, *letters)

    assert await names(inbox, brand_id, search=search) == found


async def test_one_channel_can_be_looked_at_alone(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    text = letter(brand_id, "+14155550123", subject="", channel=ChannelKind.SMS)
    await send(db, sandbox, brand_id, letter(brand_id), text)

    assert await names(inbox, brand_id, channel=ChannelKind.SMS) == ["+14155550123"]


async def test_a_search_without_end_and_a_place_that_is_none_are_refused(inbox: InboxService, brand_id: UUID):
    for asked in ({"search": "x" * 201}, {"search": "\x00"}, {"before": InboxPosition(datetime.now(UTC), "x" * 60)}):
        with pytest.raises(Invalid):
            await names(inbox, brand_id, **asked)


async def test_a_deleted_message_is_gone_and_the_others_stay(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    ann, ben = letter(brand_id), letter(brand_id, "ben@example.com")
    await send(db, sandbox, brand_id, ann, ben)

    await inbox.delete(brand_id, ann.send_id)

    assert await names(inbox, brand_id) == ["ben"]
    for attempt in (inbox.get, inbox.delete):
        with pytest.raises(NotFound):
            await attempt(brand_id, ann.send_id)


async def test_an_emptied_inbox_is_empty_and_another_brands_is_not(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID, other_brand_id: UUID
):
    await send(db, sandbox, brand_id, *(letter(brand_id, f"{n}@example.com") for n in range(3)))
    await send(db, sandbox, other_brand_id, letter(other_brand_id))

    deleted = await inbox.empty(brand_id)

    assert deleted == 3
    assert await names(inbox, brand_id) == []
    assert await names(inbox, other_brand_id) == ["ann"]


async def test_an_id_that_is_none_of_ours_is_not_found(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    one = letter(brand_id)
    await send(db, sandbox, brand_id, one)
    other_letter = "a" if one.send_id[30] != "a" else "b"
    none_of_ours = [
        "",
        "x" * 60,
        "é" * 60,
        one.send_id[:-1],
        one.send_id[:30] + other_letter + one.send_id[31:],
        SendIds(b"another key").encode(new_id(), new_id(), ChannelKind.EMAIL),
        SEND_IDS.encode(new_id(), new_id(), ChannelKind.EMAIL),
    ]

    for made in none_of_ours:
        with pytest.raises(NotFound):
            await inbox.get(brand_id, made)


async def test_messages_of_another_brand_do_not_exist(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID, other_brand_id: UUID
):
    one = letter(brand_id)
    await send(db, sandbox, brand_id, one)
    await send(db, sandbox, other_brand_id, letter(other_brand_id, "theirs@example.com"))

    assert await names(inbox, other_brand_id, search="ann") == []
    for attempt in (inbox.get, inbox.delete):
        with pytest.raises(NotFound):
            await attempt(other_brand_id, one.send_id)

    await prune_inbox(db, other_brand_id, InboxLimits(messages_max=0, days=0))
    assert await names(inbox, brand_id) == ["ann"]
    assert (await inbox.get(brand_id, one.send_id)).raw == one.wire()


async def test_pruning_keeps_exactly_the_newest_messages_also_within_one_wave(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    execution_id = new_id()
    wave = [letter(brand_id, f"{n}@example.com", execution_id=execution_id) for n in range(10)]
    await deliver(db, sandbox, wave_for(brand_id), wave)
    in_order = await names(inbox, brand_id)

    pruned = await prune_inbox(db, brand_id, InboxLimits(messages_max=4))

    assert pruned == 6
    assert await names(inbox, brand_id) == in_order[:4]
    assert await prune_inbox(db, brand_id, InboxLimits(messages_max=4)) == 0


async def test_every_brand_is_pruned_to_its_own_limits(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID, other_brand_id: UUID
):
    await send(db, sandbox, brand_id, *(letter(brand_id, f"{name}@example.com") for name in "abc"))
    await send(db, sandbox, other_brand_id, *(letter(other_brand_id, f"{name}@example.com") for name in "xyz"))

    pruned = await prune_inboxes(
        db, {brand_id: InboxLimits(messages_max=2), other_brand_id: InboxLimits(messages_max=1)}
    )

    assert pruned == 3
    assert await names(inbox, brand_id) == ["c", "b"]
    assert await names(inbox, other_brand_id) == ["z"]


async def test_a_surplus_of_several_batches_goes_at_once_and_an_inbox_is_emptied_whole(
    db: Database, inbox: InboxService, brand_id: UUID
):
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO sandbox_message"
            " SELECT %(id)s, (lpad(to_hex(n), 32, '0'))::uuid, %(id)s, statement_timestamp() - make_interval(secs => n / 700),"
            " 0, 1, '', n || '@example.com', '', '' FROM generate_series(1, 12500) n",
            {"id": brand_id},
        )

    pruned = await prune_inbox(db, brand_id, InboxLimits(messages_max=1_234))
    emptied = await inbox.empty(brand_id)

    assert (pruned, emptied) == (12_500 - 1_234, 1_234)
    assert await names(inbox, brand_id) == []


async def test_pruning_drops_what_is_too_old_and_then_the_skeletons_that_nothing_needs(
    database_dsn: str, db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    old = letter(brand_id, "old@example.com", subject="Old")
    await send(db, sandbox, brand_id, old)

    async with Database(database_dsn, size=2, shift=timedelta(days=7, minutes=1)) as later:
        late_inbox = InboxService(later, SEND_IDS, reassemble)
        late_sandbox = SandboxChannel(later, ChaosSource(later))
        young = letter(brand_id, "young@example.com", subject="Young")
        await send(later, late_sandbox, brand_id, young)
        pruned = await prune_inbox(later, brand_id, InboxLimits())

        assert pruned == 1
        assert await names(late_inbox, brand_id) == ["young"]
        assert (await late_inbox.get(brand_id, young.send_id)).raw == young.wire()
    async with db.read() as conn:
        left = await (await conn.execute("SELECT skeleton_id FROM sandbox_skeleton")).fetchall()
    assert left == [(young.skeleton_id,)]


async def test_a_skeleton_in_use_survives_pruning_although_its_messages_are_gone_for_now(
    db: Database, sandbox: SandboxChannel, inbox: InboxService, brand_id: UUID
):
    first = letter(brand_id)
    await send(db, sandbox, brand_id, first)
    await prune_inbox(db, brand_id, InboxLimits(messages_max=0))

    second = msgspec.structs.replace(letter(brand_id, "ben@example.com"), body=b"after the pruning")
    await send(db, sandbox, brand_id, second)

    assert (await inbox.get(brand_id, second.send_id)).raw == second.wire()


async def test_chaos_rules_are_kept_and_their_number_is_limited(inbox: InboxService, brand_id: UUID):
    rules = [ChaosRule("bounce", share=0.25, recipients="*@example.com", after_s=3.5), ChaosRule("refuse")]

    await inbox.set_chaos(brand_id, rules)
    kept = await inbox.chaos(brand_id)
    with pytest.raises(Invalid, match="20"):
        await inbox.set_chaos(brand_id, [ChaosRule("refuse")] * 21)
    await inbox.set_chaos(brand_id, [])

    assert kept == rules
    assert await inbox.chaos(brand_id) == []
