"""Checks before publishing: what stops a template, what its readers would stumble over, and what is well."""

import asyncio
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.service import find_brand
from stentor.campaigns.content import brand_complaint, brand_fields, check_size
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.generators import find_schema
from stentor.campaigns.guarantees import Guarantees
from stentor.campaigns.message_checks import MessageCheck, message_checks
from stentor.campaigns.model import TemplateContent
from stentor.campaigns.previews import PreviewService, Sample, TemplatePreview
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.render.analysis import Usage, usages
from stentor.render.deadline import PreviewStopped
from stentor.render.encodings import PlainText
from stentor.render.errors import TemplateInvalid
from stentor.render.frame import Layout
from stentor.render.liquid import Part, compile_part
from stentor.render.publishing_rule import SYSTEM_FIELDS, bind_names, check_against_schema

_ORDER = ("error", "warning", "fine")


class CheckedTemplate(msgspec.Struct, frozen=True):
    """A template as somebody would get it, None where that cannot be shown, and what there is to say: errors first."""

    preview: TemplatePreview | None
    checks: tuple[MessageCheck, ...]


class _Asked(msgspec.Struct, frozen=True):
    """What parts are read with."""

    channel: ChannelKind
    parts: Mapping[str, str]
    context_fields: Collection[str]
    schema: ContextSchema | None
    brand: Mapping[str, Any]


class TemplateCheckService:
    """Checks parts that may not be saved yet, with the preview that some of the checks look at."""

    def __init__(self, db: Database, previews: PreviewService) -> None:
        self._db = db
        self._previews = previews

    async def check(
        self,
        brand_id: UUID,
        channel: ChannelKind,
        parts: dict[str, str],
        sample: Sample,
        *,
        generator_id: str | None = None,
    ) -> CheckedTemplate:
        """What there is to say of these parts, as the sample's customer would get them.

        `generator_id`: the event generator whose schema says which fields of the context are always there; without one none is
        missed. What keeps the template from being published is no exception but an error among the checks. Raises Invalid for
        too many or too long parts and for a sample that is no JSON, TooLarge, and NotFound for the generator.
        """
        check_size(TemplateContent("draft", {"draft": parts}))
        async with self._db.read() as conn:
            brand = await find_brand(conn, brand_id)
            schema = None if generator_id is None else await find_schema(conn, brand_id, generator_id)
        fields = sample.context.keys() if schema is None else schema.guarantees.fields()
        asked = _Asked(channel, parts, fields, schema, {} if brand is None else brand_fields(brand))
        checks = await asyncio.to_thread(lambda: list(_of_source(asked)))
        if any(check.code == "template-invalid" for check in checks):
            return CheckedTemplate(None, _sorted(checks))
        try:
            shown = await self._previews.of_parts(brand_id, channel, parts, sample, context_fields=fields)
        except (TemplateInvalid, PreviewStopped) as refusal:
            return CheckedTemplate(None, _sorted([_refused(refusal), *checks]))
        checks += await asyncio.to_thread(
            lambda: [*_of_preview(parts, shown), *message_checks(channel, parts, shown.parts)]
        )
        return CheckedTemplate(shown, _sorted(checks))


def _sorted(checks: Sequence[MessageCheck]) -> tuple[MessageCheck, ...]:
    return tuple(sorted(checks, key=lambda check: _ORDER.index(check.level)))


def _refused(refusal: TemplateInvalid | PreviewStopped) -> MessageCheck:
    if isinstance(refusal, PreviewStopped):
        return MessageCheck(level="error", code=refusal.code, message=refusal.detail)
    return MessageCheck(
        level="error", code="template-invalid", part=refusal.part, line=refusal.line, message=refusal.message
    )


def _of_source(asked: _Asked) -> Iterator[MessageCheck]:
    """What the author's own text tells: each part that is no template, and fields that need not be there."""
    found: list[Usage] = []
    read: list[Part] = []
    for part, source in asked.parts.items():
        try:
            found += usages(asked.channel, {part: source})
            read.append(Part(part, source))
        except TemplateInvalid as refusal:
            yield _refused(refusal)
    schema = None if asked.schema is None else asked.schema.schema
    bindings = bind_names(found, context_fields=asked.context_fields)
    for part in read:
        try:
            compile_part(part, PlainText(), Layout(), bindings)
        except TemplateInvalid as refusal:
            yield _refused(refusal)
    findings = check_against_schema(asked.channel, found, bindings=bindings, schema=schema, promises=Guarantees)
    for finding in findings:
        hint = _meant_perhaps(finding.field, asked.context_fields)
        yield MessageCheck(
            level=finding.level,
            code="blank-field",
            part=finding.part,
            line=finding.line,
            message=f"{finding.message}{hint}",
        )
    yield from _of_brand(found, asked.brand)
    if asked.channel is ChannelKind.EMAIL:
        yield from _unsubscribe(asked.parts, found)


def _meant_perhaps(field: str, context_fields: Collection[str]) -> str:
    """A field that there is and whose name is nearly this one's, in a sentence; empty where there is none like it.

    A bare name that no context has is a person's, so for people's fields those of the context are looked through too.
    """
    root, _, steps = field.partition(".")
    wanted = steps.partition(".")[0].partition("[")[0]
    known = {name: f"context.{name}" for name in context_fields}
    if root == "customer":
        known = {**{name: f"customer.{name}" for name in SYSTEM_FIELDS}, **known}
    near = [] if wanted in known else difflib.get_close_matches(wanted, sorted(known), n=1)
    return f" Did you mean {known[near[0]]}?" if near else ""


def _of_brand(found: Sequence[Usage], brand: Mapping[str, Any]) -> Iterator[MessageCheck]:
    told: set[tuple[str, object]] = set()
    for usage in found:
        place = (usage.part, usage.path)
        if place in told:
            continue
        if complaint := brand_complaint(usage):
            told.add(place)
            yield MessageCheck(level="error", code="unknown-name", part=usage.part, line=usage.line, message=complaint)
        elif usage.path[0] == "brand" and usage.printed and not usage.has_default and not brand.get(str(usage.path[1])):
            told.add(place)
            text = f"The brand has no {usage.path[1]}; set it in the brand's settings."
            yield MessageCheck(level="warning", code="blank-field", part=usage.part, line=usage.line, message=text)


def _unsubscribe(parts: Mapping[str, str], found: Sequence[Usage]) -> Iterator[MessageCheck]:
    having = {usage.part for usage in found if usage.path == ("unsubscribe_url",) and usage.printed}
    lacking = [part for part in ("html", "mjml", "text") if parts.get(part) and part not in having]
    for part in lacking:
        text = (
            f"The {part.upper() if part != 'text' else 'text part'} has no link to unsubscribe. Put "
            "{{ unsubscribe_url }} there, unless it is sent for the consent basis none."
        )
        yield MessageCheck(level="warning", code="no-unsubscribe", part=part, message=text)
    if having and not lacking:
        told = "A link to unsubscribe is in the message; the one-click header (RFC 8058) is added to each."
        yield MessageCheck(level="fine", code="unsubscribe", message=told)


def _of_preview(parts: Mapping[str, str], shown: TemplatePreview) -> Iterator[MessageCheck]:
    if shown.problem:
        text = f"For this person it could not be sent: {shown.problem}"
        yield MessageCheck(level="error", code="cannot-be-sent", message=text)
    for part, blanks in shown.blanks.items():
        if part == "text" and not parts.get("text"):
            # It is written from the HTML, of which the same is told.
            continue
        for blank in blanks:
            text = f"{blank} printed nothing for this person."
            yield MessageCheck(level="warning", code="blank-here", part=part, message=text)
