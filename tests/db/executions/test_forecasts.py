"""What a dry run says, held against what the run then does."""

from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from stentor.campaigns.model import Mode
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.address import email_digest
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.forecasting import Forecast, Trial
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

EMAIL, SMS, PUSH = ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.PUSH
BOTH = EMAIL.bit | SMS.bit


async def _forecast(engine: Engine, world: World, publication_id: UUID) -> Forecast:
    return await engine.executions.dry_run(world.brand_id, publication_id, Trial("news", {}, Clock().now()))


async def _became(world: World, execution_id: UUID) -> Counter[str]:
    return Counter(
        fate.removeprefix("skipped ")
        for fates in (await world.fates(execution_id)).values()
        for fate in fates.split(", ")
    )


def _foretold(forecast: Forecast) -> Counter[str]:
    counts: Counter[str] = Counter()
    for channel in forecast.channels:
        assert channel.audience == channel.would_send + sum(channel.skipped.values())
        counts += Counter(handed_over=channel.would_send) + Counter(channel.skipped)
    return counts


@pytest.mark.parametrize("mode", ["all", "first"])
async def test_a_dry_run_counts_as_the_run_then_does(db: Database, mode: Mode):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [
            Someone("both", channels=BOTH, address_mask=BOTH, valid_mask=BOTH),
            Someone("no_mail", channels=BOTH, address_mask=SMS.bit, valid_mask=SMS.bit),
            Someone("no_to_mail", channels=BOTH, address_mask=BOTH, valid_mask=BOTH, refused_mask=EMAIL.bit),
            Someone("none", channels=BOTH, address_mask=0, valid_mask=0),
            Someone("sms_only", channels=SMS.bit, address_mask=BOTH, valid_mask=BOTH),
            Someone("suppressed", channels=BOTH, address_mask=BOTH, valid_mask=BOTH),
            *(Someone(name, email="home@example.com", shared=True) for name in ("ada", "ben")),
            *(
                Someone(name, channels=PUSH.bit, address_mask=PUSH.bit, valid_mask=PUSH.bit, shared=True)
                for name in ("cleo", "dan")
            ),
        ]
    )
    async with db.transaction() as conn:
        await add_to_builtin(conn, world.brand_id, [OptOut(EMAIL, email_digest("suppressed@example.com"), "api")])
    publication_id = await world.publication([EMAIL, SMS, PUSH], mode=mode)

    forecast = await _forecast(engine, world, publication_id)
    execution_id = await world.execution(publication_id)
    await engine.drain()

    assert _foretold(forecast) == await _became(world, execution_id)
    assert forecast.audience_size == 10


async def test_each_sample_is_in_the_language_of_its_person(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone("brazil", locale="pt-BR"), Someone("portugal", locale="pt-PT"), Someone("unsaid")])
    publication_id = await world.publication(languages=("en", "pt", "pt-BR"))

    forecast = await _forecast(engine, world, publication_id)

    said = {sample.external_id: sample.message.split(",")[0] for sample in forecast.samples}
    assert said == {"brazil": "brazil: pt-BR", "portugal": "portugal: pt", "unsaid": "unsaid: en"}


@pytest.mark.parametrize("mode", ["all", "first"])
async def test_a_dry_run_knows_caps_and_holdouts(db: Database, mode: Mode):
    world = await World.made(db)
    await world.brand_policy(BrandPolicy((BrandCap(1, "24h", channels=("email",)),)))
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{n}", channels=BOTH, address_mask=BOTH, valid_mask=BOTH) for n in range(100)])
    await world.execution(await world.publication([EMAIL], policy=CampaignPolicy(holdout=0.5)))
    await engine.drain()
    publication_id = await world.publication([EMAIL, SMS], mode=mode, policy=CampaignPolicy(holdout=0.3))

    forecast = await _forecast(engine, world, publication_id)
    execution_id = await world.execution(publication_id)
    await engine.drain()

    assert _foretold(forecast) == await _became(world, execution_id)
    assert {"frequency_cap", "holdout"} <= set(forecast.channels[0].skipped)


@pytest.mark.parametrize("mode", ["all", "first"])
async def test_a_dry_run_knows_lists_in_files_of_other_hashes_and_of_domains(db: Database, tmp_path: Path, mode: Mode):
    world, lists = await World.made(db), Lists(db, tmp_path)
    engine = Engine(db, ScriptedChannel(), lists=lists.files)
    filed = await lists.made(world.brand_id, "filed")
    hashed = await lists.made(world.brand_id, "hashed", kind="sha256", hash="sha256", channels=2)
    elsewhere = await lists.made(world.brand_id, "elsewhere", scope="topics", scope_ids=[world.brand_id])
    await lists.run(filed, ["filed@example.com", "14155550123"])
    await lists.recent(hashed, "hashed@example.com")
    await lists.recent(await lists.built_in(world.brand_id), "@partner.example")
    await lists.run(elsewhere, ["free@example.com"])
    await world.people(
        [
            *(Someone(name, channels=BOTH, address_mask=BOTH, valid_mask=BOTH) for name in ("filed", "hashed", "free")),
            Someone("partner", email="ann@partner.example"),
            Someone("phone", phone="+14155550123", channels=BOTH, address_mask=BOTH, valid_mask=BOTH),
            *(Someone(name, email="home@example.com", shared=True) for name in ("ada", "ben")),
            Someone("pushed", channels=PUSH.bit, address_mask=PUSH.bit, valid_mask=PUSH.bit),
        ]
    )
    publication_id = await world.publication([EMAIL, SMS, PUSH], mode=mode)

    forecast = await _forecast(engine, world, publication_id)
    execution_id = await world.execution(publication_id)
    await engine.drain()

    became = await _became(world, execution_id)
    assert _foretold(forecast) == became
    assert became["suppressed"] == (4 if mode == "all" else 3)


async def test_a_dry_run_knows_single_entries_of_all_lists_and_of_whole_domains_among_them(
    db: Database, tmp_path: Path
):
    world, lists = await World.made(db), Lists(db, tmp_path)
    engine = Engine(db, ScriptedChannel())
    single = await lists.made(world.brand_id, "single")
    await lists.recent(single, "one@example.com", cause="unsubscribe")
    await world.people([Someone(name) for name in ("one", "two")])
    publication_id = await world.publication()

    before = await _forecast(engine, world, publication_id)
    await lists.recent(single, "@example.com")
    after = await _forecast(engine, world, publication_id)

    assert [_foretold(forecast)["suppressed"] for forecast in (before, after)] == [1, 2]
