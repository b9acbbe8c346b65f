"""A run without running it: both halves of the guard, read-only, and a look at what would be said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from stentor.audience import reach
from stentor.audience.casting import HELD_OUT, WAITING, TopicSource, casting
from stentor.campaigns.languages import variant_for
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.deliver.model import PendingSend
from stentor.domain.ids import new_id
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.executions.audiences import Audience, choices_of, source_of, split_of
from stentor.executions.capping import caps_on
from stentor.executions.composing import Composer
from stentor.executions.experiment_store import places_of
from stentor.executions.facts import ExecutionFacts
from stentor.executions.forecast_lists import ListedPeople, TriedAudience, listed_people
from stentor.executions.model import ErrorCode
from stentor.executions.quiet_plan import QuietPlan
from stentor.executions.quieting import QuietSource
from stentor.executions.store import PlanSql, heeded_flags
from stentor.guard.contacts import rules_as_arrays
from stentor.guard.holdout import holdout_threshold
from stentor.optouts.look_up import LookUp

SAMPLES = 3


class Trial(msgspec.Struct, frozen=True):
    """What a run would be called with, and when; of the audience, where there is one, and of the topic otherwise."""

    topic_key: str
    context: Mapping[str, Any]
    at: datetime
    audience: Audience | None = None


class Sample(msgspec.Struct, frozen=True):
    """One person's message as it would go out, or why it could not be rendered."""

    external_id: str
    channel: str
    message: str
    problem: str = ""


class _Tried(msgspec.Struct, frozen=True):
    """A run as it is tried: its facts, and where its people are."""

    facts: ExecutionFacts
    audience: TriedAudience
    at: datetime


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
    routes: list[int] = []
    """For each route of the campaign, how many people it is meant for, before the guard."""
    parted: dict[str, int] = {}
    """Of an experiment: how many people are in each arm, by its name, and `held_out` and `rest`, which waits for the winner."""


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
    """What a run of this publication would do at this moment, under this policy of its brand. Raises as `LookUp.found`.

    Where the run would have a cast, one is made in the transaction of `conn`, which is to be rolled back.
    """
    brand_id, content, execution_id = publication.brand_id, publication.content, new_id()
    topic, source = None, None
    if trial.audience is None:
        topic = (await reach.topics_to_plan(conn, brand_id, {trial.topic_key})).get(trial.topic_key)
        if topic is None or not topic.enabled:
            return Forecast(0, [], [], "TOPIC_NOT_FOUND" if topic is None else "TOPIC_DISABLED")
        if content.needs_cast:
            source = TopicSource(topic.topic_id)
    else:
        source = await source_of(conn, brand_id, trial.audience)
        if source is None:
            return Forecast(0, [], [], "AUDIENCE_NOT_FOUND")
    if source is not None:
        await casting(
            conn, brand_id, execution_id, source, await choices_of(conn, brand_id, content), split=split_of(content)
        )
    topic_id = None if topic is None else topic.topic_id
    audience = TriedAudience("topic", topic_id) if source is None and topic_id else TriedAudience("cast", execution_id)
    kinds = list(dict.fromkeys(route.channel for route in content.routes))
    mask = audience.mask(content, kinds)
    plans = await quiet.forecast(conn, publication, audience.table, (audience.audience_id, mask))
    facts = ExecutionFacts(execution_id, publication, topic_id, dict(trial.context), is_test=False)
    tried = _Tried(facts, audience, trial.at)
    listed = await listed_people(conn, look_up, facts, audience)
    counts = await _count(conn, tried, brand, listed, plans)
    people = await PlanSql.forecast_people[audience.table].value(
        conn, brand_id=brand_id, audience_id=audience.audience_id, mask=mask
    )
    routes = await PlanSql.forecast_routes[audience.table].column(
        conn, brand_id=brand_id, audience_id=audience.audience_id, masks=audience.masks(content)
    )
    parted = await _parted(conn, tried)
    return Forecast(people, counts, await _samples(conn, composer, tried), routes=routes, parted=parted)


async def _parted(conn: Connection, tried: _Tried) -> dict[str, int]:
    publication, execution_id = tried.facts.publication, tried.facts.execution_id
    if (experiment := publication.content.experiment) is None:
        return {}
    places = await places_of(conn, publication.brand_id, execution_id)
    arms = {arm.name: places[number] for number, arm in enumerate(experiment.arms)}
    return {**arms, "held_out": places[HELD_OUT], "rest": places[WAITING]}


async def _count(
    conn: Connection,
    tried: _Tried,
    brand: BrandPolicy,
    listed: ListedPeople,
    plans: Mapping[ChannelKind, QuietPlan | None],
) -> list[ChannelForecast]:
    facts, audience = tried.facts, tried.audience
    content = facts.publication.content
    channels = [route.channel for route in content.routes]
    caps = [(kind, rule) for kind in dict.fromkeys(channels) for rule in caps_on(kind, facts, brand)]
    rows = await PlanSql.forecast[audience.table].tuples(
        conn,
        only_first=content.mode == "first",
        brand_id=facts.publication.brand_id,
        audience_id=audience.audience_id,
        route_masks=audience.masks(content),
        campaign_id=content.campaign_id,
        holdout=holdout_threshold(content.policy.holdout),
        heeded=heeded_flags(content),
        cap_channels=[int(kind) for kind, _ in caps],
        **rules_as_arrays([rule for _, rule in caps]),
        **listed.as_arrays(),
        channels=[int(kind) for kind in channels],
        bits=[kind.bit for kind in channels],
        quiets=[None if (plan := plans.get(kind)) is None else Jsonb(plan.verdicts) for kind in channels],
    )
    forecasts = []
    for kind in dict.fromkeys(channels):
        skipped: dict[str, int] = {}
        would_send = held = 0
        for channel, reason, sends, duplicates in rows:
            if channel != kind:
                continue
            if reason not in {Reason.NONE, Reason.QUIET_HOURS}:
                skipped[Reason(reason).label] = sends
                continue
            if duplicates:
                label = Reason.DUPLICATE_ADDRESS.label
                skipped[label] = skipped.get(label, 0) + duplicates
            if reason == Reason.NONE:
                would_send = sends - duplicates
            else:
                held = sends - duplicates
        people = would_send + held + sum(skipped.values())
        forecasts.append(ChannelForecast(kind.label, people, would_send, held, skipped))
    return forecasts


async def _samples(conn: Connection, composer: Composer, tried: _Tried) -> list[Sample]:
    """The first few people's messages on the first channel, each in that person's language; of several choices, from each."""
    content = tried.facts.publication.content
    samples: list[Sample] = []
    for ordinal, route in enumerate(content.routes):
        if route.channel is content.routes[0].channel and len(samples) < SAMPLES:
            samples += await _samples_of(conn, composer, tried, ordinal)
    return samples[:SAMPLES]


async def _samples_of(conn: Connection, composer: Composer, tried: _Tried, ordinal: int) -> list[Sample]:
    facts, audience = tried.facts, tried.audience
    brand_id, content = facts.publication.brand_id, facts.publication.content
    route = content.routes[ordinal]
    kind = route.channel
    customers = await PlanSql.sample_people[audience.table].column(
        conn,
        brand_id=brand_id,
        audience_id=audience.audience_id,
        mask=audience.masks(content)[ordinal],
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
                variant=content.variant_bases[ordinal] + variant_for(languages, person.locale),
                tries=0,
            ),
            person,
        )
        for person in people
        if person is not None
    ]
    names = {person.customer_id: person.external_id for _, person in sends}
    composed = composer.compose(kind, {facts.execution_id: facts}, sends, tried.at)
    rendered = [
        Sample(names[send.customer_id], kind.label, message=message.wire().decode("utf-8", "replace"))
        for send, message in zip(composed.sends, composed.messages, strict=True)
    ]
    return rendered + [
        Sample(names[send.customer_id], kind.label, message="", problem=str(error)) for send, error in composed.failures
    ]
