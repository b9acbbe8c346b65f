"""What a test send says: a campaign as it is edited now, frozen so that it reaches nobody but those who asked for it."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.campaigns import generator_store, template_store
from stentor.campaigns.ingredients import CampaignItself, Ingredients, RouteIngredients, gather
from stentor.campaigns.languages import variant_for
from stentor.campaigns.model import PublishedContent, PublishedRoute, Template
from stentor.campaigns.publishing import Frozen, as_step, freeze
from stentor.channels.model import SenderKind
from stentor.channels.service import sandbox_sender
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound

SUBJECT_MARK = "[Test] "
"""What the subject of each test send begins with."""

_FINGERPRINT_BYTES = 16
_FORGOTTEN_AT_ONCE_MAX = 500


class Sql(QuerySet, file="test_content.sql", package=__package__):
    same_content: Statement
    forget_contents: Statement


class Draft(NamedTuple):
    """A campaign as it is edited now: the routes that were chosen, with what they are made of."""

    ingredients: Ingredients
    templates: Mapping[UUID, Template]

    @property
    def sender_kinds(self) -> dict[ChannelKind, SenderKind | None]:
        """By what kind of sender each channel goes out."""
        return {route.channel: route.sender_kind for route in self.ingredients.routes}


async def draft_of(
    conn: Connection,
    brand_id: UUID,
    campaign_id: UUID,
    channels: Collection[ChannelKind],
    *,
    step: int = 0,
    chosen: Sequence[int] | None = None,
) -> Draft:
    """That step of the campaign, 0 for its own routes, with the chosen ones, by their places from 0, or the first of each channel.

    Raises NotFound for a campaign that the brand has not, and Invalid, naming `/step` or `/routes`, for a step or routes that it
    has not, and for routes that go out on another channel, or of which two share one.
    """
    itself = CampaignItself(campaign_id)
    ingredients = (await gather(conn, brand_id, [itself])).get(itself.id)
    if ingredients is None:
        raise NotFound(f"This brand has no campaign {campaign_id}. List them with GET …/campaigns.")
    if step > len(ingredients.steps):
        raise Invalid.field("/step", "unknown-step", _no_step(step, len(ingredients.steps)))
    if step > 0:
        ingredients = as_step(ingredients, ingredients.steps[step - 1])
    what = "campaign" if step == 0 else "step"
    places = range(len(ingredients.routes)) if chosen is None else chosen
    routes: dict[ChannelKind, RouteIngredients] = {}
    for index, place in enumerate(places):
        at = f"/routes/{index}"
        if not 0 <= place < len(ingredients.routes):
            text = f"The {what} has no route {place}; its routes are 0 to {len(ingredients.routes) - 1}."
            raise Invalid.field(at, "unknown-route", text)
        route = ingredients.routes[place]
        if route.channel not in channels:
            if chosen is not None:
                raise Invalid.field(at, "no-address", f"None of the addresses is one for {route.channel.label}.")
        elif chosen is not None and route.channel in routes:
            text = f"Two of the routes go out on {route.channel.label}; test them one after the other."
            raise Invalid.field(at, "repeated-channel", text)
        else:
            routes.setdefault(route.channel, route)
    if not routes:
        text = (
            f"The {what} has no route for these addresses: e-mail goes to e-mail addresses, sms, voice and whatsapp to phones. Other"
            " channels are tried by a run with a test key, for a customer who has an address there."
        )
        raise Invalid.field("/to", "no-route", text)
    chosen_routes = tuple([await _kept_here(conn, brand_id, route) for route in routes.values()])
    meant = msgspec.structs.replace(ingredients, routes=chosen_routes, steps=())
    return Draft(meant, await template_store.templates_in_full(conn, brand_id, meant.template_ids))


async def frozen_for_test(draft: Draft, *, context_fields: Collection[str], language: str | None) -> Frozen:
    """The content of a test send in one language, or the one that it falls back to, and what may come out blank.

    `context_fields`: what bare names are taken from the context, as a generator's schema would say. Nobody's consent, no cap, no
    quiet hours and no holdout are asked: it goes to whoever asked for it. Opt-out lists are. Raises Invalid as `freeze` does.
    """
    free = msgspec.structs.replace(draft.ingredients, context_schema=None, deduplication=None, policy=CampaignPolicy())
    frozen = await asyncio.to_thread(freeze, free, draft.templates, context_fields=context_fields)
    content = PublishedContent(
        campaign_id=frozen.content.campaign_id,
        campaign_name=frozen.content.campaign_name,
        consent_basis="none",
        mode="all",
        lane="transactional",
        routes=tuple(_in_one_language(route, language) for route in frozen.content.routes),
        bindings=frozen.content.bindings,
        context_schema=None,
        brand=frozen.content.brand,
        policy=CampaignPolicy(),
        mail_sender=frozen.content.mail_sender,
        is_test_send=True,
    )
    text = msgspec.json.encode(content, order="deterministic")
    made_from = hashlib.blake2b(text, digest_size=_FINGERPRINT_BYTES).hexdigest()
    return Frozen(msgspec.structs.replace(content, made_from=made_from), frozen.warnings)


async def keep_for_test(conn: Connection, brand_id: UUID, content: PublishedContent) -> UUID:
    """The id of a publication with that content: one that a test send of the last day has made, or a new one."""
    found = await Sql.same_content.value(
        conn, brand_id=brand_id, campaign_id=content.campaign_id, made_from=content.made_from
    )
    if found is not None:
        return found
    publication_id = new_id()
    await generator_store.insert_publication(conn, brand_id, publication_id, content)
    return publication_id


async def forget_test_contents(db: Database, *, days: int) -> int:
    """Deletes what test sends were made of that are more than so many days old and gone; the keeper's chore. Returns how many."""
    async with db.transaction() as conn:
        return await Sql.forget_contents.run(conn, days=days, limit=_FORGOTTEN_AT_ONCE_MAX)


async def _kept_here(conn: Connection, brand_id: UUID, route: RouteIngredients) -> RouteIngredients:
    """The route, to the sandbox where a service would pull it: what it would send is told there in words."""
    if route.partner is None:
        return route
    sandbox = await sandbox_sender(conn, brand_id, route.channel)
    return msgspec.structs.replace(route, sender_id=sandbox.id, sender_kind=sandbox.kind)


def _no_step(step: int, steps: int) -> str:
    if steps == 0:
        return f"There is no step {step}: nothing follows the campaign's own routes, which are step 0."
    return f"There is no step {step}; the campaign's steps are 0, its own routes, to {steps}."


def _in_one_language(route: PublishedRoute, language: str | None) -> PublishedRoute:
    variant = route.variants[variant_for([variant.language for variant in route.variants], language)]
    parts = dict(variant.parts)
    if "subject" in parts:
        parts["subject"] = SUBJECT_MARK + parts["subject"]
    return PublishedRoute(
        channel=route.channel,
        sender_id=route.sender_id,
        template_id=route.template_id,
        template_name=route.template_name,
        template_version=route.template_version,
        variants=(msgspec.structs.replace(variant, parts=parts),),
        # Without its condition: it goes to whoever asked for it. Nor is it for a service to pull.
        app=route.app,
    )
