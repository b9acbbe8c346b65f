"""Our own connector against the scripted hub of `stentor conformance service`."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from connector_world import CHANNEL, HERE, joined
from stentor.channels.secrets import SecretBox
from stentor.cli.conformance.service.run import Target, hub_for, tried
from stentor.integrations.connector.opening import HubOpener

pytestmark = pytest.mark.anyio

TARGET = Target(
    channel=CHANNEL,
    username="kit",
    password="secret",
    key="a key",
    attributes=("Phone",),
    wait_s=20,
    settle_s=0.05,
    retry_after_s=0,
)
SOON = 3


async def test_our_connector_passes_every_check_of_a_service_also_where_a_template_is_gone_meanwhile(
    database_dsn: str, tmp_path: Path
):
    async with joined(database_dsn, tmp_path) as world, hub_for(TARGET) as book:
        world.opener = HubOpener(SecretBox(world.core.secret.derive("connectors")), HERE, busy_wait_s=0)
        worker = world.worker(timedelta(minutes=5), page_rows=10)
        connector = await world.connector(url=book.url, username="kit", secret="secret", attributes={"Phone": "phone"})
        goodbye = await world.template("Goodbye", "Bye")
        trial = asyncio.create_task(tried(book))
        await world.syncer.sync_due()
        assert await book.until(lambda: book.main is not None, TARGET.wait_s)
        await world.services.templates.delete(world.service.id, goodbye)
        while not trial.done():
            await world.syncer.sync_due()
            await world.later_by(worker, seconds=SOON)
            await asyncio.sleep(0.01)
        report = trial.result()
        main = book.main
        assert main is not None
        gone = len(main.people_of(max(main.templates)))
        runs = await world.services.connectors.runs(world.service.id, connector.id)

    unmet = [(one.fact, one.says, one.expected, one.came) for one in report.checks if one.result == "failed"]
    assert unmet == []
    assert {one.fact: one.came for one in report.checks if one.result == "not_tried"} == {
        "F4.4.1": "nobody listens to event 1",
        "F4.3.11": "it has no apps",
    }
    assert (book.sent(main, 0), book.sent(main, 5)) == ({1: 12, 2: 0}, {1: 1, 2: gone})
    assert [run.last_error for run in runs if run.campaign_number == book.unknown] == [""]
