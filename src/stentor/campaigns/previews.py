"""Previews: what a message would say to somebody, and where it would have gaps."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.service import find_brand
from stentor.campaigns import template_store
from stentor.campaigns.content import brand_fields, check_size
from stentor.campaigns.languages import ordered_languages, variant_for
from stentor.campaigns.model import PartnerContent, PublishedContent, PublishedRoute, TemplateContent
from stentor.campaigns.partnered import shown_in_words
from stentor.channels.partners.chosen import chosen_templates
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, TooLarge
from stentor.render.analysis import usages
from stentor.render.deadline import PreviewProcess
from stentor.render.preview import PreviewRequest
from stentor.render.publishing import final_parts
from stentor.render.publishing_rule import bind_names

SAMPLE_BYTES_MAX = 256 * 1024
# Under the reserved top-level domain that leads nowhere.
UNSUBSCRIBE_URL = "https://preview.invalid/u/nobody"


class Sample(msgspec.Struct, frozen=True):
    """For whom and on what occasion: `customer` holds system fields and attributes side by side."""

    customer: dict[str, Any] = {}
    context: dict[str, Any] = {}


class TemplatePreview(msgspec.Struct, frozen=True):
    """A message as somebody would get it.

    `blanks` names, for each part, the expressions that printed nothing; `bindings` what bare names were taken for: a
    field of the sample's context, else one of its customer. `problem` says why it could not be sent like this, and is
    empty when it could.
    """

    parts: dict[str, str]
    blanks: dict[str, list[str]]
    bindings: dict[str, str]
    problem: str
    language: str | None = None
    """Which of a saved template's languages this is."""


class PreviewService:
    """Renders templates for a look at them, in a process of their own and within a quarter of a second.

    Raises Invalid and TooLarge for a sample that is no JSON or too large, TemplateInvalid, naming part and line, for a
    template that cannot be published, and PreviewStopped for one that goes on too long.
    """

    def __init__(self, db: Database, process: PreviewProcess, clock: Clock) -> None:
        self._db = db
        self._process = process
        self._clock = clock
        # Waiting here and not in threads: those are shared with everything else that would block the event loop.
        self._turn = asyncio.Lock()

    async def of_template(
        self, brand_id: UUID, template_id: UUID, sample: Sample, *, language: str | None = None
    ) -> TemplatePreview:
        """A saved template, in that language (None: the customer's) or the one it falls back to. Raises NotFound.

        Of one that an outside service has synced only the service knows what it says: here it is told which one it is.
        """
        async with self._db.read() as conn:
            template = await template_store.find_template(conn, brand_id, template_id)
            synced = None if template else (await chosen_templates(conn, brand_id, [template_id])).get(template_id)
        if synced is not None and not synced.is_deleted:
            content = PartnerContent(synced.channel_number, synced.number, synced.name, synced.app_id)
            return TemplatePreview(shown_in_words(synced.channel, content), {}, {}, "")
        if template is None:
            raise NotFound(f"This brand has no template {template_id}.")
        languages = ordered_languages(template.content)
        chosen = languages[variant_for(languages, language or _locale(sample))]
        shown = await self._shown(brand_id, template.channel, template.content.variants[chosen], sample)
        return msgspec.structs.replace(shown, language=chosen)

    async def of_parts(
        self,
        brand_id: UUID,
        channel: ChannelKind,
        parts: dict[str, str],
        sample: Sample,
        *,
        context_fields: Collection[str] | None = None,
    ) -> TemplatePreview:
        """Parts that are not saved yet. Raises Invalid for too many or too long ones.

        `context_fields`: the bare names that mean the context, as a generator's schema says; None: those of the sample's.
        """
        check_size(TemplateContent("draft", {"draft": parts}))
        return await self._shown(brand_id, channel, parts, sample, context_fields)

    async def of_route(self, content: PublishedContent, route: PublishedRoute, sample: Sample) -> TemplatePreview:
        """A route of frozen content, in its first language, as the sample's customer would get it."""
        _check_sample(sample)
        request = PreviewRequest(
            kind=route.channel,
            parts=route.variants[0].parts,
            bindings=content.bindings,
            context=sample.context,
            brand=content.brand,
            customer=sample.customer,
            at=self._clock.now(),
            unsubscribe_url=UNSUBSCRIBE_URL,
        )
        async with self._turn:
            shown = await asyncio.to_thread(self._process.preview, request)
        return TemplatePreview(shown.parts, shown.blanks, content.bindings, shown.problem, route.variants[0].language)

    async def _shown(
        self,
        brand_id: UUID,
        channel: ChannelKind,
        parts: Mapping[str, str],
        sample: Sample,
        context_fields: Collection[str] | None = None,
    ) -> TemplatePreview:
        _check_sample(sample)
        known = sample.context.keys() if context_fields is None else context_fields
        async with self._db.read() as conn:
            brand = await find_brand(conn, brand_id)
        async with self._turn:
            final = await asyncio.to_thread(final_parts, channel, parts)
            request = PreviewRequest(
                kind=channel,
                parts=final,
                bindings=bind_names(usages(channel, final), context_fields=known),
                context=sample.context,
                brand={} if brand is None else brand_fields(brand),
                customer=sample.customer,
                at=self._clock.now(),
                unsubscribe_url=UNSUBSCRIBE_URL,
            )
            shown = await asyncio.to_thread(self._process.preview, request)
        return TemplatePreview(shown.parts, shown.blanks, request.bindings, shown.problem)


def _locale(sample: Sample) -> str | None:
    locale = sample.customer.get("locale")
    return locale if isinstance(locale, str) else None


def _check_sample(sample: Sample) -> None:
    try:
        size = len(msgspec.msgpack.encode(sample))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"Customer and context cannot be used: {error}.") from error
    if size > SAMPLE_BYTES_MAX:
        raise TooLarge(f"Customer and context have {size} bytes together; at most {SAMPLE_BYTES_MAX} are allowed.")
