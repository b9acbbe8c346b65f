"""The page of an execution shows what partners reported beside what is known of people."""

from datetime import UTC, datetime

import pytest

from console_world import ConsoleWorld
from reporting_world import CHANNEL, carried
from stentor.audience.model import CustomerPatch
from stentor.integrations.metrics.model import FactKind, Interaction, ToldFact, Total

pytestmark = pytest.mark.anyio


async def test_totals_and_people_stand_side_by_side(console: ConsoleWorld):
    services, brand = console.services, console.brand
    await services.customers.upsert(brand.id, CustomerPatch(external_id="ann"))
    run = await carried(services.database, brand.id, ["ann"])
    totals = [
        Total(campaign=324, channel=CHANNEL, template=7, metric=metric, value=value)
        for metric, value in ((0, 5), (1, 4), (3, 1))
    ]
    await services.totals.report(brand, totals)
    facts = [
        ToldFact(
            id=f"{kind}", campaign=324, channel=CHANNEL, template=7, external_id="ann", kind=kind, at=datetime.now(UTC)
        )
        for kind in (FactKind.DELIVERED, FactKind.OPENED, FactKind.CLICKED)
    ]
    await services.partner_facts.tell(brand.id, facts, actor="key 1")
    today = datetime.now(UTC).date()
    said = Interaction(campaign=324, channel=CHANNEL, template=7, event=2, day=today, customers=["ann", "bob"])
    await services.interactions.report(brand.id, said, actor="hub client Texts")

    shown = (await (await console.enters("viewer")).get(f"{console.root}/executions/{run.execution_id}")).text

    assert "Reported by <bdi>Texts</bdi>: <bdi>Welcome 7</bdi>" in shown
    for line in (
        "<span>sent</span><b>5</b><span>reported, of nobody by name</span>",
        "<span>delivered</span><b>1</b><span>people, 3 more reported</span>",
        "<span>opened</span><b>1</b><span>people</span>",
        "<span>clicked</span><b>1</b><span>people, as many reported</span>",
        "1 call named 2 people; to 1 of them nothing was sent.",
    ):
        assert line in shown
