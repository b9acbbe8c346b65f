"""Steps of runs that take long, and of calls that name their people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from stentor.campaigns.model import Publication
from stentor.channels.contract import Message
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, part_of
from stentor.domain.policy import BrandPolicy, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.steps.model import Exits
from stentor.testing.engine import Engine, PlainMessage, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from step_world import Walk
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("policy", "of_brand"),
    [(CampaignPolicy(per_hour=120), BrandPolicy()), (CampaignPolicy(), BrandPolicy(per_hour={"email": 120}))],
    ids=["campaign", "brand"],
)
async def test_who_is_handed_over_while_others_wait_for_a_limit_takes_the_step_in_time_and_once(
    db: Database, policy: CampaignPolicy, of_brand: BrandPolicy
):
    walk = Walk(await World.made(db), Engine(db, ScriptedChannel()))
    await walk.world.people([Someone(f"p{number}") for number in range(12)])
    await walk.world.brand_policy(of_brand)
    run = await walk.world.execution(await walk.world.publication(policy=policy, steps=[Following(60)]))
    seen: list[tuple[int, int]] = []
    for _ in range(25):
        await walk.after(minutes=1)
        handed_over = list((await walk.world.fates(run)).values()).count("handed_over")
        (step,) = (await walk.steps(run)).steps
        assert step.handed_over == handed_over
        seen.append((handed_over, step.went_on))

    assert any(went_on > 0 and handed_over < 12 for handed_over, went_on in seen)
    assert seen[-1] == (12, 12)
    taken = await rows(db, "SELECT count(*)::integer FROM send WHERE execution_id <> %s GROUP BY customer_id", run)
    assert taken == [(1,)] * 12
    assert await unbalanced(db) == []


async def test_people_whom_a_call_names_take_the_next_step_in_their_own_words(db: Database):
    channel = ScriptedChannel()
    walk = Walk(await World.made(db), Engine(db, channel, renderers=InTheirWords()))
    world = walk.world
    names = ["ann", "bob", "bare", "refuses"]
    await world.people([Someone(name) for name in names])
    # Known by an address alone: it takes the first step and no further one.
    await walk.run("UPDATE customer SET external_id = 'addr:bare' WHERE external_id = 'bare'")
    publication_id = await world.publication(basis="none", lane="transactional", steps=[Following(60)])
    run = await world.execution(publication_id, topic_key="", context={"team": "all"})
    ids = [customer_id(world.brand_id, name) for name in names]
    await walk.run("UPDATE execution SET recipients = 4 WHERE id = %s", [run])
    await walk.run(
        "INSERT INTO send_context (execution_id, part, customer_id, brand_id, context)"
        " SELECT %s, n.part, n.id, %s, jsonb_build_object('who', n.name)"
        " FROM unnest(%s::smallint[], %s::uuid[], %s::text[]) AS n (part, id, name)",
        [run, world.brand_id, [part_of(one) for one in ids], ids, names],
    )
    await walk.on()
    assert _said(channel.taken) == sorted(f"{name} of all" for name in names)
    channel.taken.clear()
    await walk.run("UPDATE customer SET complained_mask = ~0 WHERE external_id = 'refuses'")
    await walk.after(minutes=3)

    (step,) = (await walk.steps(run)).steps
    assert (step.handed_over, step.went_on, step.exits) == (4, 2, Exits(gone=1, opted_out=1))
    assert await walk.fates(run, 1) == {"ann": "handed_over", "bob": "handed_over"}
    assert _said(channel.taken) == ["ann of all", "bob of all"]
    assert await unbalanced(db) == []


class InTheirWords:
    """Renders every message as what the call said of its recipient, and of all."""

    def bind(
        self,
        publication: Publication,
        channel: ChannelKind,
        variant: int,
        context_id: UUID | None,
        context: Mapping[str, Any],
    ) -> "InTheirWords._Bound":
        return self._Bound(f"{context['who']} of {context['team']}")

    class _Bound:
        def __init__(self, text: str) -> None:
            self._text = text

        def render(
            self, customer: Mapping[str, Any], *, send_id: str, address: str, unsubscribe_url: str, at: datetime
        ) -> Message:
            return PlainMessage(send_id, address, self._text)


def _said(messages: list[Message]) -> list[str]:
    return sorted(message.wire().decode() for message in messages)
