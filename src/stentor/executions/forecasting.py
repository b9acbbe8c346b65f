"""A run without running it: both halves of the guard, read-only, and a look at what would be said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from stentor.audience import reach
from stentor.campaigns.languages import variant_for
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.deliver.model import PendingSend
from stentor.domain.ids import new_id
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, channel_mask
from stentor.executions.capping import caps_on
from stentor.executions.composing import Composer
from stentor.executions.facts import ExecutionFacts
from stentor.executions.forecast_lists import ListedPeople, listed_people
from stentor.executions.model import ErrorCode
from stentor.executions.quiet_plan import QuietPlan
from stentor.executions.quieting import QuietSource
from stentor.executions.store import PlanSql, heeded_flags
from stentor.guard.contacts import rules_as_arrays
from stentor.guard.holdout import holdout_threshold
from stentor.optouts.look_up import LookUp

SAMPLES = 3


class Trial(msgspec.Struct, frozen=True):
    """What a run would be called with, and when."""

    topic_key: str
    context: Mapping[str, Any]
    at: datetime


class Sample(msgspec.Struct, frozen=True):
    """One person's message as it would go out, or why it could not be rendered."""

    external_id: str
    channel: str
    message: str
    problem: str = ""


class ChannelForecast(msgspec.Struct, frozen=True):
    """What a run would do on one channel now; `audience = would_send + held + Σ skipped`.

    `held` is until their quiet hours are over.
    """

    channel: str
    audience: int
    would_send: int
    held: int
    skipped: dict[str, int]


class Forecast(msgspec.Struct, frozen=True):
    """The answer to a dry run. `error_code` is what the run would fail with, where it would."""

    audience_size: int
    channels: list[ChannelForecast]
    samples: list[Sample]
    error_code: ErrorCode | None = None


async def forecast(
    conn: Connection,
    composer: Composer,
    quiet: QuietSource,
    publication: Publication,
    trial: Trial,
    *,
    look_up: LookUp,
    brand: BrandPolicy,
) -> Forecast:
    """What a run of this publication would do at this moment, under this policy of its brand. Raises as `LookUp.found`."""
    topics = await reach.topics_to_plan(conn, publication.brand_id, {trial.topic_key})
    topic = topics.get(trial.topic_key)
    if topic is None or not topic.enabled:
        return Forecast(0, [], [], "TOPIC_NOT_FOUND" if topic is None else "TOPIC_DISABLED")
    kinds = [route.channel for route in publication.content.routes]
    plans = await quiet.forecast(conn, publication, topic.topic_id)
    facts = ExecutionFacts(new_id(), publication, topic.topic_id, dict(trial.context), is_test=False)
    listed = await listed_people(conn, look_up, facts, kinds)
    counts = await _count(conn, facts, brand, listed, [(kind, plans.get(kind)) for kind in kinds])
    people = await PlanSql.forecast_people.value(
        conn, brand_id=publication.brand_id, topic_id=topic.topic_id, mask=channel_mask(kinds)
    )
    return Forecast(people, counts, await _samples(conn, composer, facts, trial.at))


async def _count(
    conn: Connection,
    facts: ExecutionFacts,
    brand: BrandPolicy,
    listed: ListedPeople,
    planned: list[tuple[ChannelKind, QuietPlan | None]],
) -> list[ChannelForecast]:
    content = facts.publication.content
    caps = [(kind, rule) for kind, _ in planned for rule in caps_on(kind, facts, brand)]
    rows = await PlanSql.forecast.tuples(
        conn,
        only_first=content.mode == "first",
        brand_id=facts.publication.brand_id,
        topic_id=facts.topic_id,
        campaign_id=content.campaign_id,
        holdout=holdout_threshold(content.policy.holdout),
        heeded=heeded_flags(content),
        cap_channels=[int(kind) for kind, _ in caps],
        **rules_as_arrays([rule for _, rule in caps]),
        **listed.as_arrays(),
        channels=[int(kind) for kind, _ in planned],
        bits=[kind.bit for kind, _ in planned],
        quiets=[None if plan is None else Jsonb(plan.verdicts) for _, plan in planned],
    )
    forecasts = []
    for kind, _ in planned:
        skipped: dict[str, int] = {}
        would_send = held = 0
        for channel, reason, people, duplicates in rows:
            if channel != kind:
                continue
            if reason not in {Reason.NONE, Reason.QUIET_HOURS}:
                skipped[Reason(reason).label] = people
                continue
            if duplicates:
                label = Reason.DUPLICATE_ADDRESS.label
                skipped[label] = skipped.get(label, 0) + duplicates
            if reason == Reason.NONE:
                would_send = people - duplicates
            else:
                held = people - duplicates
        audience = would_send + held + sum(skipped.values())
        forecasts.append(ChannelForecast(kind.label, audience, would_send, held, skipped))
    return forecasts


async def _samples(conn: Connection, composer: Composer, facts: ExecutionFacts, at: datetime) -> list[Sample]:
    """The first few people's messages on the first channel, each in that person's language."""
    brand_id, content = facts.publication.brand_id, facts.publication.content
    route = content.routes[0]
    kind = route.channel
    customers = await PlanSql.sample_people.column(
        conn,
        brand_id=brand_id,
        topic_id=facts.topic_id,
        campaign_id=content.campaign_id,
        holdout=holdout_threshold(content.policy.holdout),
        heeded=heeded_flags(content),
        bit=kind.bit,
        limit=SAMPLES,
    )
    people = await reach.recipients(conn, brand_id, [(customer, facts.topic_id) for customer in customers])
    languages = [variant.language for variant in route.variants]
    sends = [
        (
            PendingSend(
                chunk=0,
                execution_id=facts.execution_id,
                number=0,
                customer_id=person.customer_id,
                variant=variant_for(languages, person.locale),
                tries=0,
            ),
            person,
        )
        for person in people
        if person is not None
    ]
    names = {person.customer_id: person.external_id for _, person in sends}
    composed = composer.compose(kind, {facts.execution_id: facts}, sends, at)
    rendered = [
        Sample(names[send.customer_id], kind.label, message=message.wire().decode("utf-8", "replace"))
        for send, message in zip(composed.sends, composed.messages, strict=True)
    ]
    return rendered + [
        Sample(names[send.customer_id], kind.label, message="", problem=str(error)) for send, error in composed.failures
    ]
