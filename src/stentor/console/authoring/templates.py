"""`/console/brands/…/templates`: what is said on each channel, written with its look and its checks beside it."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.campaigns.model import Template, TemplateContent, TemplatePatch
from stentor.campaigns.templates import TemplateService, edited_meanwhile
from stentor.console.account import read_id
from stentor.console.authoring.comparing import compared
from stentor.console.authoring.template_editor import SEEN, Draft, Shown, TemplateEditor, seen_of
from stentor.console.authoring.template_frames import framed
from stentor.console.authoring.template_looks import TemplateLooks
from stentor.console.authoring.template_parts import FIELDS, STARTS, fields_of
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.visits import AnyRequest
from stentor.domain.locale import normal_locale
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Problem

TEMPLATE_FORM_BYTES_MAX = 4 * 1024 * 1024
"""A mail of a megabyte as browsers send it; what is longer is changed by the API."""

SHOWN = 50

LIST = f"{HERE}/templates"
ONE = f"{LIST}/{{template_id:str}}"
AT_THE_FORM = (Conflict, Invalid)


class TemplatePages:
    """Templates in the console. What they do goes through the same service as what programs do."""

    def __init__(
        self, door: BrandDoor, editor: TemplateEditor, looks: TemplateLooks, templates: TemplateService
    ) -> None:
        self._door = door
        self._editor = editor
        self._looks = looks
        self._templates = templates

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._changing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._door.inside(request))

        @get(f"{LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            channel = channel_in(request.query_params)
            if channel is None:
                return self._door.page(
                    request, "authoring/template_new.html", place, tab="templates", channels=_channels()
                )
            form = {**fields_of(channel, STARTS[channel]), "language": "en", "channel": channel.label}
            return await self._editor.page(request, place, Draft(channel=channel, language="en", form=form))

        @get(ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            template = await self._templates.get(place.brand.id, template_id(request))
            draft = await self._editor.draft_of(place, template, _language_in(request.query_params))
            told = "Saved. What is published goes on as it was, until it is published again."
            shown = Shown(told=told) if "saved" in request.query_params else Shown()
            return await self._editor.page(request, place, draft, shown)

        @get(f"{ONE}/frame", include_in_schema=False)
        async def stored_frame(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            template = await self._templates.get(place.brand.id, template_id(request))
            draft = await self._editor.draft_of(place, template, _language_in(request.query_params))
            return await self._frame(place, template.channel, draft.form)

        @post(f"{LIST}/frame", include_in_schema=False, request_max_body_size=TEMPLATE_FORM_BYTES_MAX, status_code=200)
        async def typed_frame(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "read")
            return await self._frame(place, ChannelKind.EMAIL, form)

        return [listed, new, one, stored_frame, typed_frame]

    def _changing(self) -> list[HTTPRouteHandler]:
        @post(f"{LIST}/new", include_in_schema=False, request_max_body_size=TEMPLATE_FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            channel = channel_in(form)
            if channel is None:
                raise Invalid("The form names no channel. Begin again from the list of templates.")
            draft = Draft(channel=channel, language=form.get("language", ""), form=form)
            return await self._posted(request, place, draft)

        @post(ONE, include_in_schema=False, request_max_body_size=TEMPLATE_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            template = await self._templates.get(place.brand.id, template_id(request))
            return await self._posted(request, place, posted_draft(template, form))

        @post(f"{ONE}/delete", include_in_schema=False, request_max_body_size=TEMPLATE_FORM_BYTES_MAX, status_code=200)
        async def delete(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            template = await self._templates.get(place.brand.id, template_id(request))
            try:
                await self._templates.delete(place.brand.id, template.id)
            except Conflict as problem:
                draft = await self._editor.draft_of(place, template, None)
                return await self._editor.page(request, place, draft, Shown(problem=problem))
            return Redirect(f"{place.root}/templates", status_code=303)

        return [make, change, delete]

    async def _list(self, request: AnyRequest, place: Place) -> Response[str]:
        query = request.query_params
        channel, after = channel_in(query), id_in(query, "after")
        found = await self._templates.page(place.brand.id, after=after, channel=channel, limit=SHOWN + 1)
        uses = await self._templates.uses(place.brand.id, [one.id for one in found[:SHOWN]])
        asked = {"channel": channel.label} if channel else {}
        more = {**asked, "after": str(found[SHOWN - 1].id)} if len(found) > SHOWN else None
        return self._door.page(
            request,
            "authoring/templates.html",
            place,
            tab="templates",
            templates=found[:SHOWN],
            campaigns={
                one.id: {use.campaign_id: use.campaign_name for use in uses if use.template_id == one.id}
                for one in found[:SHOWN]
            },
            channel=channel.label if channel else "",
            channels=_channels(),
            more=more and urlencode(more),
            newest=urlencode(asked),
            is_first=after is None,
        )

    async def _posted(self, request: AnyRequest, place: Place, draft: Draft) -> Response[str] | Redirect:
        what, _, state = draft.form.get("do", "").partition(" ")
        if what not in {"save", "overwrite", "drop"}:
            if "hx-request" in request.headers:
                return await self._editor.part(request, place, draft)
            return await self._editor.page(request, place, draft)
        edited_from = moment(state if what == "overwrite" else draft.form.get(SEEN, ""))
        try:
            saved = await self._saved(place, draft, edited_from, drops=what == "drop")
        except AT_THE_FORM as problem:
            return await self._refused(request, place, draft, problem)
        language = "" if what == "drop" else normal_locale(draft.language) or ""
        query = urlencode({"language": language, "saved": "yes"} if language else {"saved": "yes"})
        return Redirect(f"{place.root}/templates/{saved.id}?{query}", status_code=303)

    async def _saved(self, place: Place, draft: Draft, edited_from: datetime | None, *, drops: bool) -> Template:
        name, template = draft.form.get("name", ""), draft.template
        if template is None:
            content = TemplateContent(draft.language, {draft.language: draft.parts})
            return await self._templates.create(place.brand.id, name=name, channel=draft.channel, content=content)
        if edited_from is None:
            raise edited_meanwhile()
        variants = {**template.content.variants, draft.language: draft.parts}
        if drops:
            variants = {key: said for key, said in template.content.variants.items() if key != draft.language}
        default = draft.language if draft.form.get("is_default") else template.content.default_language
        patch = TemplatePatch(
            name=name, default_language=template.content.default_language if drops else default, variants=variants
        )
        return await self._templates.update(place.brand.id, template.id, patch, edited_from=edited_from)

    async def _refused(self, request: AnyRequest, place: Place, draft: Draft, problem: Problem) -> Response[str]:
        """The form with all that was typed; where somebody was quicker, with what the template says by now beside it."""
        theirs = None
        if draft.template is not None:
            now = await self._templates.get(place.brand.id, draft.template.id)
            draft = msgspec.structs.replace(draft, template=now)
            if seen_of(now) != draft.form.get(SEEN):
                stored = now.content.variants.get(draft.language, {})
                theirs = await asyncio.to_thread(compared, {draft.language: stored}, {draft.language: draft.parts})
        return await self._editor.page(request, place, draft, Shown(problem=problem, theirs=theirs))

    async def _frame(self, place: Place, channel: ChannelKind, form: Mapping[str, str]) -> Response[str]:
        look = await self._looks.look(place.brand.id, channel, form)
        html = None if look.preview is None else look.preview.parts.get("html")
        return framed(html, dark=bool(form.get("dark")), pictures=bool(form.get("pictures")))


def template_id(request: AnyRequest) -> UUID:
    """The id of the path's template. Raises NotFound for what is no id."""
    return read_id(request.path_params["template_id"])


def posted_draft(template: Template, form: Mapping[str, str]) -> Draft:
    """What a form of that template's page says."""
    return Draft(channel=template.channel, language=form.get("language", ""), form=form, template=template)


def channel_in(fields: Mapping[str, str]) -> ChannelKind | None:
    """The channel that the fields name; None for none, and for one whose content lies elsewhere."""
    return next((kind for kind in FIELDS if kind.label == fields.get("channel")), None)


def _channels() -> list[str]:
    return [kind.label for kind in FIELDS]


def _language_in(query: Mapping[str, str]) -> str | None:
    """The language that is asked for, in its canonical form. Raises NotFound for what is none."""
    said = query.get("language")
    if not said:
        return None
    language = normal_locale(said)
    if language is None:
        raise NotFound(f"{said[:40]!r} is no language tag; write one like en, en-US or zh-Hant.")
    return language


def moment(text: str) -> datetime | None:
    """The state that a form was drawn from; None for what is none, which is taken for an old one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
