"""The page on which a template is edited: its form, what it looks like, what there is to say of it, and where it is used."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response

from stentor.accounts.test_recipient_store import TestRecipient
from stentor.accounts.test_recipients import TestRecipientService
from stentor.campaigns.languages import ordered_languages
from stentor.campaigns.model import GeneratorUse, Template, TemplateUse
from stentor.campaigns.template_fields import TemplateFieldService
from stentor.campaigns.templates import TemplateService
from stentor.console.authoring.comparing import PartCompared
from stentor.console.authoring.template_frames import has_dark_rules
from stentor.console.authoring.template_looks import Look, TemplateLooks
from stentor.console.authoring.template_parts import (
    FIELDS,
    MARKUPS,
    WITH_DATA,
    data_rows_of,
    field_of_part,
    fields_of,
    parts_of,
)
from stentor.console.brand import BrandDoor, Place
from stentor.console.fields import errors_at
from stentor.console.visits import AnyRequest
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound, Problem, pointer_to
from stentor.render.environment import environment
from stentor.triggers.test_sends import TestSent

SEEN = "seen"
"""The field that says which state of the template the form was drawn from."""

WIDTHS: Mapping[str, str] = {"": "As wide as there is room", "600": "600 px, a desk", "375": "375 px, a phone"}

_NOT_FOR_AUTHORS = {"content", "illegal", "output"}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What is edited: a language of a template, or of one that is not there yet, as the form has it now."""

    channel: ChannelKind
    language: str
    form: Mapping[str, str]
    template: Template | None = None

    @property
    def parts(self) -> dict[str, str]:
        """What the form says."""
        return parts_of(self.channel, self.form)

    @property
    def is_saved(self) -> bool:
        """Whether that is what the template says."""
        template = self.template
        return template is not None and template.content.variants.get(self.language) == self.parts

    @property
    def is_new_language(self) -> bool:
        """Whether the template does not have this language yet."""
        return self.template is not None and self.language not in self.template.content.variants


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the page says beside the draft. `theirs`: what a template says that somebody changed meanwhile, beside what was typed."""

    problem: Problem | None = None
    told: str = ""
    theirs: Sequence[PartCompared] | None = None
    sent: TestSent | None = None


NOTHING = Shown()


class TemplateEditor:
    """Draws the page."""

    def __init__(
        self,
        door: BrandDoor,
        looks: TemplateLooks,
        *,
        templates: TemplateService,
        fields: TemplateFieldService,
        test_recipients: TestRecipientService,
    ) -> None:
        self._door = door
        self._looks = looks
        self._templates = templates
        self._fields = fields
        self._recipients = test_recipients

    async def draft_of(self, place: Place, template: Template, language: str | None) -> Draft:
        """The template as it is stored, in that language: the default one for None, and what it says for one that is new."""
        content = template.content
        chosen = language or content.default_language
        parts = content.variants.get(chosen, content.variants[content.default_language])
        form = {
            **fields_of(template.channel, parts),
            SEEN: seen_of(template),
            "name": template.name,
            "language": chosen,
        }
        _, generators = await self._used_by(place, template)
        if generators:
            form["generator"] = generators[0].id
        return Draft(channel=template.channel, language=chosen, form=form, template=template)

    async def page(self, request: AnyRequest, place: Place, draft: Draft, shown: Shown = NOTHING) -> Response[str]:
        """The whole page."""
        uses, generators = await self._used_by(place, draft.template)
        form = {**draft.form}
        chosen = form.get("generator") or None
        if chosen and not form.get("context", "").strip():
            form["context"] = await self._looks.payload(place.brand.id, chosen)
        draft = msgspec.structs.replace(draft, form=form)
        errors, others = errors_at(shown.problem, _places(draft))
        offered = _with_chosen([(one.id, one.name) for one in generators], chosen)
        recipients = await self._recipients_of(place, draft)
        return self._door.page(
            request,
            "authoring/template.html",
            place,
            tab="templates",
            problem=shown.problem,
            told=shown.told,
            theirs=shown.theirs,
            sent=shown.sent,
            errors=errors,
            others=others,
            uses=uses,
            campaigns={use.campaign_id: use.campaign_name for use in uses},
            generators=offered,
            fields=await self._all_fields(place, chosen),
            routes=[(route_key(use), _route_name(use)) for use in uses],
            recipients=recipients,
            may_run=place.may("run"),
            **await self._facts(place, draft),
        )

    async def part(self, request: AnyRequest, place: Place, draft: Draft) -> Response[str]:
        """What changes while somebody types: the look, the checks, the rows of data."""
        return self._door.page(
            request, "authoring/template_look.html", place, tab="templates", **await self._facts(place, draft)
        )

    async def _facts(self, place: Place, draft: Draft) -> dict[str, Any]:
        look = await self._looks.look(place.brand.id, draft.channel, draft.form)
        template = draft.template
        return {
            "stored": template,
            "channel": draft.channel.label,
            "language": draft.language,
            "languages": [] if template is None else ordered_languages(template.content),
            "is_new_language": draft.is_new_language,
            "is_saved": draft.is_saved,
            "form": draft.form,
            "asked": FIELDS[draft.channel],
            "markups": MARKUPS,
            "with_data": draft.channel in WITH_DATA,
            "rows": data_rows_of(draft.form),
            "widths": WIDTHS,
            "look": look,
            "has_dark_rules": _has_dark_rules(look),
            "lines": _marked_lines(look, draft),
            "filters": sorted(environment(autoescape=False).filters),
            "tags": sorted(environment(autoescape=False).tags.keys() - _NOT_FOR_AUTHORS),
        }

    async def _used_by(self, place: Place, template: Template | None) -> tuple[list[TemplateUse], list[GeneratorUse]]:
        if template is None:
            return [], []
        uses = await self._templates.uses(place.brand.id, [template.id])
        return uses, await self._templates.generators(place.brand.id, {use.campaign_id for use in uses})

    async def _all_fields(self, place: Place, generator_id: str | None) -> list[Any]:
        try:
            return list(await self._fields.fields(place.brand.id, generator_id=generator_id))
        except NotFound:
            return list(await self._fields.fields(place.brand.id))

    async def _recipients_of(self, place: Place, draft: Draft) -> list[TestRecipient]:
        """The test recipients to whom messages of this channel can go."""
        is_mail = draft.channel is ChannelKind.EMAIL
        found = await self._recipients.page(place.brand.id, after=None, limit=100)
        return [one for one in found if one.is_email is is_mail]


def seen_of(template: Template) -> str:
    """Which state of the template a form is drawn from."""
    return template.updated_at.isoformat()


def route_key(use: TemplateUse) -> str:
    """How the form names a route that says the template."""
    return f"{use.campaign_id} {use.step} {use.route}"


def _route_name(use: TemplateUse) -> str:
    return use.campaign_name if use.step == 0 else f"{use.campaign_name}, step {use.step}"


def _places(draft: Draft) -> dict[str, str]:
    """Of each place in a template, the field that is about it."""
    places = {"/name": "name", "/default_language": "language", "/who": "who", "/external_id": "who"}
    places |= {
        "/context": "context",
        "/to": "to",
        "/routes": "route",
        "/variants": "p-" + FIELDS[draft.channel][0].part,
    }
    markups = MARKUPS if draft.channel is ChannelKind.EMAIL else ()
    for part in (*draft.parts, *(field.part for field in FIELDS[draft.channel]), *markups):
        if field := field_of_part(part, draft.form):
            places[pointer_to("variants", draft.language, part)] = field
    return places


def _marked_lines(look: Look, draft: Draft) -> dict[str, list[int]]:
    """By field, the lines that errors are about, for the editor to mark."""
    found: dict[str, set[int]] = {}
    for check in look.checks:
        if check.level == "error" and check.line is not None and check.part:
            found.setdefault(field_of_part(check.part, draft.form), set()).add(check.line)
    return {field: sorted(lines) for field, lines in found.items()}


def _has_dark_rules(look: Look) -> bool:
    return look.preview is not None and has_dark_rules(look.preview.parts.get("html", ""))


def _with_chosen(offered: list[tuple[str, str]], chosen: str | None) -> list[tuple[str, str]]:
    known = dict(offered)
    return offered if chosen is None or chosen in known else [*offered, (chosen, chosen)]
