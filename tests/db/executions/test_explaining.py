"""What is told of a person in an execution: every check that was made, by what held then, whatever has changed since."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from stentor.accounts.service import AccountService, policies_between
from stentor.audience import reach
from stentor.audience.customers import CustomerService
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.audience.past import STEPS, PastKeeper
from stentor.audience.reach import Mark
from stentor.audience.subscriptions import SubscriptionService
from stentor.campaigns.sources import PublicationSource
from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, Outcome, Rejected
from stentor.db.pool import Database
from stentor.deliver.retrying import TRIES_MAX
from stentor.domain.address import email_digest
from stentor.domain.ids import customer_id
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignCap, CampaignPolicy
from stentor.domain.quiet_hours import QuietRule
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.errors import NotFound
from stentor.executions.composing import BoundRenderer
from stentor.executions.explaining import ChannelExplanation, explain_channels
from stentor.executions.replaying import CHECKS, MEANWHILE
from stentor.executions.service import sweep_expired
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.render.errors import RenderError
from stentor.testing.engine import Engine, PlainRenderers, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL = ChannelKind.EMAIL
# A Wednesday: 14:00 in Berlin, 05:00 in Los Angeles, 21:00 in Tokyo.
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
NIGHT: dict[str, Any] = {"from": "21:00", "to": "08:00"}
SILENCE: dict[str, Any] = {"from": "05:00", "to": "06:00", "action": "skip"}
NOWHERE = CampaignPolicy(quiet_hours=(QuietRule(from_="10:00", to="09:00"),))
# Nobody gives these, or partners alone: tests/db/integrations/test_clearance.py and test_connectors_and_their_hubs.py.
NEVER = {
    Reason.NOT_OPTED_IN,
    Reason.DUPLICATE_RECIPIENT,
    Reason.ABORT_BY_TEMPLATE,
    Reason.NOT_CLEARED,
    Reason.REVOKED,
}


@pytest.fixture
async def db(database_dsn: str) -> AsyncIterator[Database]:
    """At noon of that Wednesday."""
    async with Database(database_dsn, size=4, shift=NOON - datetime.now(UTC)) as opened:
        yield opened


class Choosy(PlainRenderers):
    """Cannot write to some people."""

    def bind(self, *args: Any, **named: Any) -> BoundRenderer:
        return _Choosy(super().bind(*args, **named))


class _Choosy:
    def __init__(self, plain: BoundRenderer) -> None:
        self._plain = plain

    def render(self, customer: Mapping[str, Any], **rest: Any) -> Message:
        if customer["external_id"] in {"broken", "blank"}:
            reason = Reason.EMPTY_CONTENT if customer["external_id"] == "blank" else Reason.TEMPLATE_ERROR
            raise RenderError("no", reason=reason)
        return self._plain.render(customer, **rest)


def moody(message: Message) -> Outcome:
    """A provider that has an answer for some people."""
    name = message.address.partition("@")[0]
    return {"rejected": Rejected("550 no"), "doubtful": InDoubt("lost"), "tired": Deferred("450 later")}.get(
        name, Accepted()
    )


def someone(name: str, time_zone: str | None = "Europe/Berlin", **facts: Any) -> Someone:
    return Someone(name, time_zone=time_zone, **facts)


async def planned_for(
    db: Database, *people: Someone, policy: CampaignPolicy | None = None, **settings: Any
) -> tuple[World, Engine, UUID]:
    """A brand with these settings and people, and its execution for them, planned and not delivered."""
    world, engine = await World.made(db), Engine(db, ScriptedChannel())
    await world.settings(**settings)
    await world.people(people)
    execution_id = await world.execution(await world.publication(policy=policy or CampaignPolicy()))
    await engine.plan()
    return world, engine, execution_id


async def refused_unseen(db: Database, before: timedelta) -> None:
    """A refusal that the ledger has from so long before the wave was guarded, and that nobody saw then."""
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO consent_event (part, customer_id, event_id, brand_id, at, kind, channels, source)"
            " SELECT e.part, e.customer_id, gen_random_uuid(), e.brand_id, v.opened_at - %s, 'refused', 2, 'reply'"
            " FROM consent_event e, wave v",
            [before],
        )


async def as_if_kept_since(db: Database, since: datetime) -> None:
    """Leaves of the past what there is when room for it is made only then."""
    async with db.transaction() as conn:
        await conn.execute("TRUNCATE customer_past, optout_lifted, brand_policy_version")
        await conn.execute(
            "INSERT INTO brand_policy_version (brand_id, version, policy, since)"
            " SELECT id, 1, policy_in(settings), created_at FROM brand"
        )
        await conn.execute("UPDATE schema_migration SET applied_at = %s WHERE number = 11", [since])


async def told_of(engine: Engine, world: World, execution_id: UUID, name: str) -> ChannelExplanation:
    (told,) = (await engine.executions.explain(world.brand_id, execution_id, name)).channels
    return told


def outcomes(told: ChannelExplanation) -> dict[str, str]:
    return {check.name: check.outcome for check in told.checks}


def detail(told: ChannelExplanation, name: str) -> str:
    return to_the_minute(next(check.detail for check in told.checks if check.name == name))


def to_the_minute(text: str) -> str:
    """Without the seconds that a test takes."""
    return re.sub(r":\d\d UTC", " UTC", text)


async def everybody(
    db: Database, world: World, meanwhile: timedelta
) -> dict[tuple[UUID, str], list[ChannelExplanation]]:
    """What is told of everybody in every execution."""
    told: dict[tuple[UUID, str], list[ChannelExplanation]] = {}
    engine = Engine(db, ScriptedChannel())
    publications = PublicationSource(db)
    for progress in await engine.executions.page(world.brand_id, before=None, limit=100):
        publication = await publications.load(world.brand_id, progress.execution.publication_id)
        for name in await world.fates(progress.execution.id):
            customer = customer_id(world.brand_id, name)
            async with db.read() as conn:
                told[progress.execution.id, name] = await explain_channels(
                    conn, engine.look_up, progress.execution, publication, customer, meanwhile=meanwhile
                )
    return told


async def a_day_of_every_reason(db: Database) -> World:
    """Executions in which people are left out, held, and fail for every reason that there is."""
    world = await World.made(db)
    await world.settings(quiet_hours=[NIGHT, SILENCE])
    bit = EMAIL.bit
    await world.people(
        [
            *(someone(name) for name in ("ann", "late", "listed", "rejected", "doubtful", "tired")),
            *(someone(name) for name in ("broken", "blank")),
            *(someone(name, email="twins@example.com", shared=True) for name in ("twin 1", "twin 2")),
            someone("refused", refused_mask=bit),
            someone("complained", complained_mask=bit),
            someone("bounced", bounced_mask=bit),
            someone("resting"),
            someone("homeless", address_mask=0, valid_mask=0),
            someone("misspelt", valid_mask=0),
            someone("tokyo", time_zone="Asia/Tokyo"),
            someone("angeles", time_zone="America/Los_Angeles"),
            someone("somewhere", time_zone=None, phone="+79161234567"),
        ]
    )
    engine = Engine(db, ScriptedChannel(moody), renderers=Choosy())
    await world.execution(await world.publication())
    await engine.plan()
    await subscriptions(db).withdraw(world.brand_id, customer_id(world.brand_id, "late"), world.topic_id, by())
    until = NOON + timedelta(days=2)
    await subscriptions(db).take_break(world.brand_id, customer_id(world.brand_id, "resting"), until, by())
    async with db.transaction() as conn:
        await add_to_builtin(conn, world.brand_id, [OptOut(EMAIL, email_digest("listed@example.com"), "api", "a file")])
        await conn.execute("UPDATE send SET tries = %s WHERE customer_id = %s", [TRIES_MAX - 1, _id(world, "tired")])
    await engine.drain()

    for policy in (CampaignPolicy(deadline="10m"), CampaignPolicy(holdout=0.5), NOWHERE):
        await world.execution(await world.publication(policy=policy))
    cancelled = await world.execution(await world.publication())
    await engine.plan()
    await engine.executions.cancel(world.brand_id, cancelled)
    async with Database(db.dsn, size=3, shift=db.shift + timedelta(minutes=11)) as later:
        await sweep_expired(later)
        late = Engine(later, ScriptedChannel(moody), renderers=Choosy())
        await late.drain()
        world.db = later
        capped = await world.publication(policy=CampaignPolicy(caps=(CampaignCap(1, "24h"),)))
        for _ in range(2):
            await world.execution(capped)
            await late.drain()
    return world


async def a_week_later(db: Database, world: World) -> None:
    """Everybody has complained, moved, chosen anew, and has another address, and the brand another policy."""
    names = sorted({name for _, name in await everybody(db, world, MEANWHILE)})
    async with db.transaction() as conn:
        marks = [Mark(_id(world, name), None, bounced=True, complained=True) for name in names]
        await reach.mark(conn, world.brand_id, EMAIL, marks)
    patches = [
        CustomerPatch(external_id=name, email=f"new-{number}@example.org", time_zone="Pacific/Auckland")
        for number, name in enumerate(names)
    ]
    await CustomerService(db).upsert_many(world.brand_id, patches)
    for name in names:
        await subscriptions(db).withdraw_all(world.brand_id, _id(world, name), by())
        await subscriptions(db).agree(world.brand_id, _id(world, name), EMAIL.bit, by())
    await subscriptions(db).withdraw(world.brand_id, _id(world, "ann"), world.topic_id, by())
    await world.settings(
        quiet_hours=[{"from": "00:00", "to": "23:00"}], policy={"caps": [{"at_most": 1, "per": "31d"}]}
    )


@pytest.mark.parametrize("meanwhile", [MEANWHILE, timedelta()])
async def test_every_verdict_is_found_again_whatever_has_changed_since(db: Database, meanwhile: timedelta):
    world = await a_day_of_every_reason(db)
    async with Database(db.dsn, size=4, shift=db.shift + timedelta(days=7)) as later:
        world.db = later
        await a_week_later(later, world)

        told = await everybody(later, world, meanwhile)

    differing = [(name, one) for (_, name), channels in told.items() for one in channels if _differs(one)]
    assert differing == []
    given = {Reason[one.reason.upper()] for channels in told.values() for one in channels if one.reason}
    assert given >= set[Reason]().union(*CHECKS.values()) - NEVER
    assert given >= {Reason.PROVIDER_REJECTED, Reason.RETRIES_EXHAUSTED}
    not_kept = {
        check.name
        for channels in told.values()
        for one in channels
        for check in one.checks
        if check.outcome == "objected" and not check.replayed
    }
    assert not_kept <= {"cap", "content"}


async def test_of_what_was_decided_before_the_past_was_kept_the_ledger_is_asked_again_and_nothing_else(db: Database):
    world = await a_day_of_every_reason(db)
    async with Database(db.dsn, size=4, shift=db.shift + timedelta(days=7)) as later:
        world.db = later
        await a_week_later(later, world)
        await as_if_kept_since(later, NOON + timedelta(days=7))

        told = await everybody(later, world, MEANWHILE)

    assert [(name, one) for (_, name), channels in told.items() for one in channels if _differs(one)] == []
    replayed = {check.name for channels in told.values() for one in channels for check in one.checks if check.replayed}
    assert replayed == {"consent", "break", "duplicate", "holdout", "execution", "deadline"}


async def test_a_verdict_that_the_ledger_contradicts_is_said_to_differ(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"))
    await engine.deliver()
    await refused_unseen(db, timedelta(days=1))

    told = await told_of(engine, world, execution_id, "ann")

    (differing,) = [check for check in told.checks if check.differs]
    assert (differing.name, differing.outcome, told.state) == ("consent", "passed", "handed_over")
    assert to_the_minute(differing.detail) == "Refused (email) at 2026-07-14 12:00 UTC by reply."


async def test_what_was_committed_while_it_was_decided_may_have_been_seen_or_not(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"))
    await engine.deliver()
    # As if it had been on its way when the wave was guarded.
    await refused_unseen(db, timedelta(milliseconds=1))

    assert not _differs(await told_of(engine, world, execution_id, "ann"))


async def test_of_what_planning_decided_only_planning_s_checks_are_told(db: Database):
    people = [someone("tokyo", time_zone="Asia/Tokyo"), someone("bounced", bounced_mask=EMAIL.bit)]
    world, engine, execution_id = await planned_for(
        db, *people, policy=CampaignPolicy(deadline="1h"), quiet_hours=[NIGHT]
    )

    held = outcomes(await told_of(engine, world, execution_id, "tokyo"))
    skipped = outcomes(await told_of(engine, world, execution_id, "bounced"))

    assert [name for name, outcome in held.items() if outcome == "not_reached"] == [
        *("execution", "sender", "break", "suppression", "duplicate", "deadline", "cap", "content"),
    ]
    assert [name for name, outcome in held.items() if outcome == "passed"] == [
        *("consent", "complaint", "bounce", "address", "holdout"),
    ]
    assert [name for name, outcome in skipped.items() if outcome == "passed"] == ["consent", "complaint"]


async def test_what_planning_asked_is_told_where_a_wave_decided(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"), policy=CampaignPolicy(holdout=1e-9))
    pending = outcomes(await told_of(engine, world, execution_id, "ann"))
    async with db.autocommit() as conn:
        await conn.execute("UPDATE customer SET complained_mask = 2")
    await engine.drain()
    complained = outcomes(await told_of(engine, world, execution_id, "ann"))

    assert [name for name, outcome in pending.items() if outcome == "passed"] == [
        *("consent", "complaint", "bounce", "address", "holdout"),
    ]
    assert (complained["holdout"], complained["consent"], complained["complaint"]) == ("passed", "passed", "objected")
    assert (complained["bounce"], complained["suppression"]) == ("not_reached", "not_reached")


async def test_a_pause_is_told_with_its_reason_and_since_when(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"))
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET paused_at = '2026-07-15 11:00Z' WHERE channel = 1")
    await engine.executions.pause(world.brand_id, execution_id)
    await engine.drain()

    told = await told_of(engine, world, execution_id, "ann")
    overview = await engine.executions.overview(world.brand_id, execution_id)
    await engine.executions.cancel(world.brand_id, execution_id)
    over = await told_of(engine, world, execution_id, "ann")

    since = "is paused since 2026-07-15 11:00 UTC."
    assert [(check.name, check.reason) for check in told.checks if check.outcome == "objected"] == [
        ("execution", "execution_paused"),
        ("sender", "sender_paused"),
    ]
    assert (told.state, detail(told, "execution")) == ("pending", "Paused since 2026-07-15 12:00 UTC.")
    assert detail(told, "sender").endswith(since)
    assert [(one.channel, one.paused_at) for one in overview.paused_senders] == [
        (EMAIL, datetime(2026, 7, 15, 11, tzinfo=UTC))
    ]
    assert "objected" not in outcomes(over).values()


async def test_a_cap_is_told_with_its_limit_window_scope_and_count_as_it_was_then(db: Database):
    world, engine = await World.made(db), Engine(db, ScriptedChannel())
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h", channels=("email",), tags=("match",)),)))
    await world.people([someone("ann")])
    publication_id = await world.publication(policy=CampaignPolicy(tags=("match",)))
    executions = []
    for _ in range(2):
        executions.append(await world.execution(publication_id))
        await engine.drain()
    async with Database(db.dsn, size=3, shift=db.shift + timedelta(hours=1)) as later:
        world.db = later
        await world.brand_policy(BrandPolicy((BrandCap(9, "1h"),)))
        engine = Engine(later, ScriptedChannel())

        first, second = [await told_of(engine, world, execution_id, "ann") for execution_id in executions]

    rule = "The brand's cap 1 (policy version 2), at most 1 per 24h on email tagged match"
    assert detail(first, "cap") == f"{rule}: 0 accepted in it."
    assert (outcomes(second)["cap"], detail(second, "cap")) == ("objected", f"{rule}: 1 counted.")


async def test_quiet_hours_are_told_by_the_rule_and_the_zone_that_were_judged(db: Database):
    world, _, execution_id = await planned_for(db, someone("tokyo", time_zone="Asia/Tokyo"), quiet_hours=[NIGHT])
    async with Database(db.dsn, size=3, shift=db.shift + timedelta(minutes=5)) as later:
        world.db = later
        await CustomerService(later).upsert_many(
            world.brand_id, [CustomerPatch(external_id="tokyo", time_zone="America/New_York")]
        )
        await world.settings(quiet_hours=[])

        told = await told_of(Engine(later, ScriptedChannel()), world, execution_id, "tokyo")

    assert detail(told, "quiet_hours") == (
        "It was Wed 21:00 in Asia/Tokyo; the brand's quiet hours 1 (21:00 to 08:00, policy version 2) objected until "
        "2026-07-15 23:00 UTC."
    )


async def test_consent_and_suppression_name_their_entries_also_when_they_were_lifted_since(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"), someone("ben"))
    async with db.transaction() as conn:
        await add_to_builtin(
            conn, world.brand_id, [OptOut(EMAIL, email_digest("ann@example.com"), "import", "old.csv")]
        )
    await subscriptions(db).withdraw(world.brand_id, _id(world, "ben"), world.topic_id, by())
    await engine.drain()
    async with Database(db.dsn, size=3, shift=db.shift + timedelta(hours=1)) as later:
        engine = Engine(later, ScriptedChannel())
        await subscriptions(later).agree(world.brand_id, _id(world, "ann"), EMAIL.bit, by())

        ann, ben = [await told_of(engine, world, execution_id, name) for name in ("ann", "ben")]

    assert (ann.reason, ben.reason) == ("suppressed", "unsubscribed")
    assert detail(ann, "consent") == "Subscribed (email) at 2026-07-15 12:00 UTC by api."
    assert detail(ann, "suppression") == "On the built-in list since 2026-07-15 12:00 UTC: import, old.csv."
    assert detail(ben, "consent") == "Unsubscribed (email) at 2026-07-15 12:00 UTC by preference_page."


async def test_who_is_outside_is_answered_from_the_ledger_as_it_was_when_the_execution_was_planned(db: Database):
    world, engine = await World.made(db), Engine(db, ScriptedChannel())
    await world.people([someone("ann"), *(someone(name, channels=0) for name in ("never", "later", "texts"))])
    await subscriptions(db).withdraw(world.brand_id, _id(world, "ann"), world.topic_id, by())
    await subscriptions(db).subscribe(world.brand_id, "texts", "news", ChannelKind.SMS.bit, Act(source=Source.API))
    execution_id = await world.execution(await world.publication())
    await engine.plan()
    async with Database(db.dsn, size=3, shift=db.shift + timedelta(hours=1)) as later:
        for name in ("ann", "later"):
            await subscriptions(later).subscribe(world.brand_id, name, "news", EMAIL.bit, Act(source=Source.CONSOLE))
        engine = Engine(later, ScriptedChannel())

        async def outside(name: str) -> str:
            return to_the_minute((await engine.executions.explain(world.brand_id, execution_id, name)).outside)

        planned = "When it was planned, at 2026-07-15 12:00 UTC, the last choice for the topic 'news' was"
        assert await outside("never") == "Not in the audience. Never opted in to the topic 'news'."
        assert await outside("ann") == (
            f"Not in the audience. {planned} unsubscribed (email) at 2026-07-15 12:00 UTC by preference_page."
        )
        assert await outside("texts") == (
            f"Not in the audience. {planned} subscribed (sms) at 2026-07-15 12:00 UTC by api."
        )
        assert await outside("later") == (
            "Not in the audience. Opted in to the topic 'news' only at 2026-07-15 13:00 UTC by console, "
            "after the execution was planned at 2026-07-15 12:00 UTC."
        )
        async with later.autocommit() as conn:
            await conn.execute("DELETE FROM customer WHERE external_id = 'never'")
        with pytest.raises(NotFound):
            await outside("never")


async def test_what_was_decided_of_an_erased_person_is_told_as_it_was_stored(db: Database):
    world, engine, execution_id = await planned_for(db, someone("ann"))
    async with db.autocommit() as conn:
        await conn.execute("DELETE FROM customer")
    await engine.drain()

    told = await told_of(engine, world, execution_id, "ann")

    (objected,) = [check for check in told.checks if check.outcome == "objected"]
    assert (objected.name, objected.reason, objected.replayed, objected.differs) == (
        "address",
        "no_address",
        False,
        False,
    )


async def test_a_brands_policy_has_a_new_version_when_it_is_another_one(db: Database):
    service = AccountService(db, b"pepper")
    brand = await service.create_brand("Fan Club")
    await service.update_brand_settings(brand.id, {"from_name": "Fans"})
    await service.update_brand_settings(brand.id, {"quiet_hours": [NIGHT]})
    await service.update_brand_settings(brand.id, {"quiet_hours": [NIGHT], "sandbox_days": 3})

    async with db.read() as conn:
        versions = await policies_between(conn, brand.id, NOON, NOON + timedelta(minutes=1))
        latest = await policies_between(conn, brand.id, NOON + timedelta(minutes=1), NOON + timedelta(minutes=1))
        before = await policies_between(conn, brand.id, NOON - timedelta(days=2), NOON - timedelta(days=1))

    assert [(one.version, len(one.settings.quiet_hours)) for one in versions] == [(1, 0), (2, 1)]
    assert [one.version for one in latest] == [2]
    assert [one.version for one in before] == [1]


async def test_how_people_were_is_forgotten_with_the_history(db: Database):
    world = await World.made(db)
    await world.people([someone("ann")])
    await CustomerService(db).upsert_many(world.brand_id, [CustomerPatch(external_id="ann", email="ann@example.org")])

    async def forget(days: int) -> int:
        async with Database(db.dsn, size=3, shift=db.shift + timedelta(days=days)) as later:
            keeper = PastKeeper(later, days=400)
            return sum([await keeper.forget([world.brand_id]) for _ in range(STEPS)])

    assert [await forget(399), await forget(401), await forget(401)] == [0, 1, 0]


def subscriptions(db: Database) -> SubscriptionService:
    return SubscriptionService(db)


def by() -> Act:
    return Act(source=Source.PREFERENCE_PAGE)


def _id(world: World, name: str) -> UUID:
    return customer_id(world.brand_id, name)


def _differs(told: ChannelExplanation) -> bool:
    return any(check.differs for check in told.checks)
