"""`/console/brands/…/generators`: the handles that calls run campaigns by, with their fields, a try, and the lines to paste."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.topics import TopicService
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.generators import GeneratorService, edited_meanwhile
from stentor.campaigns.model import Generator
from stentor.campaigns.sample_payload import sample_payload
from stentor.console.authoring.calls import curl_lines
from stentor.console.authoring.generator_form import (
    SEEN,
    TYPES,
    WAYS,
    GeneratorForm,
    draft_of,
    form_of,
    places,
    posted_form,
    read_object,
    seen_of,
    type_of,
)
from stentor.console.authoring.schema_form import AS_IT_IS
from stentor.console.authoring.schema_form import TYPES as FIELD_TYPES
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.choosing import Chooser, Offered
from stentor.console.fields import errors_at
from stentor.console.visits import AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem, RateLimited, Unavailable, Unprocessable, Violation
from stentor.executions.forecasting import Forecast
from stentor.triggers.model import RunCall
from stentor.triggers.service import API_TRIGGERED, TriggerService

SHOWN = 50
GENERATOR_FORM_BYTES_MAX = 512 * 1024
"""With a schema of 64 KiB, whose characters take three bytes each in a form, and its fields once more."""

_LIST = f"{HERE}/generators"
# Apart from the pages beside them: a generator may be called `new`.
_ONE = f"{HERE}/generators/id/{{generator_id:str}}"
_AT_THE_FORM = (Conflict, Invalid, Unprocessable)
_AT_THE_TRY = (*_AT_THE_FORM, NotFound, Unavailable, RateLimited)


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """A call to be tried: its topic, its context as it was typed, and what came of it."""

    topic: str
    context: str
    forecast: Forecast | None = None
    problem: Problem | None = None


class GeneratorPages:
    """Event generators in the console. What they do goes through the same services as what programs do."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        generators: GeneratorService,
        triggers: TriggerService,
        topics: TopicService,
        chooser: Chooser,
        base_url: str,
    ) -> None:
        self._door = door
        self._generators = generators
        self._triggers = triggers
        self._topics = topics
        self._chooser = chooser
        self._base_url = base_url

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._writing(), *self._running()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = request.query_params.get("after") or None
            found = await self._generators.page(place.brand.id, after=after, limit=SHOWN + 1)
            campaigns = await self._campaigns(place.brand.id)
            return self._door.page(
                request,
                "authoring/generators.html",
                place,
                tab="generators",
                generators=found[:SHOWN],
                campaigns=dict(campaigns),
                more=found[SHOWN - 1].id if len(found) > SHOWN else None,
                is_first=after is None,
                path_of=path_of,
                types=TYPES,
                told="The generator is deleted." if "deleted" in request.query_params else "",
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            return await self._page(request, await self._door.inside(request, "write"), None)

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            generator = await self._generators.get(place.brand.id, _id(request))
            told = "It is saved. What is published goes on as it was." if "saved" in request.query_params else ""
            return await self._page(request, place, generator, told=told)

        return [listed, new, one]

    def _writing(self) -> list[HTTPRouteHandler]:
        @post(f"{_LIST}/new", include_in_schema=False, request_max_body_size=GENERATOR_FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, None)

        @post(_ONE, include_in_schema=False, request_max_body_size=GENERATOR_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            generator = await self._generators.get(place.brand.id, _id(request))
            return await self._posted(request, place, form, generator)

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=GENERATOR_FORM_BYTES_MAX)
        async def delete(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "write")
            await self._generators.delete(place.brand.id, _id(request))
            return Redirect(f"{place.root}/generators?deleted=yes", status_code=303)

        return [make, change, delete]

    def _running(self) -> list[HTTPRouteHandler]:
        @post(
            f"{_ONE}/publish", include_in_schema=False, request_max_body_size=GENERATOR_FORM_BYTES_MAX, status_code=200
        )
        async def publish(request: AnyRequest) -> Response[str]:
            place, _ = await self._door.posted(request, "write")
            generator = await self._generators.get(place.brand.id, _id(request))
            try:
                made = await self._generators.publish(place.brand.id, generator.id)
            except _AT_THE_FORM as problem:
                return await self._page(request, place, generator, problem=problem, refused=True)
            told = "It is published: calls from now on run it as it is now."
            return await self._page(
                request, place, made.generator, told=told, warnings=made.warnings, bindings=made.bindings
            )

        @post(f"{_ONE}/try", include_in_schema=False, request_max_body_size=GENERATOR_FORM_BYTES_MAX, status_code=200)
        async def tried(request: AnyRequest) -> Response[str]:
            # As by the API: samples are messages of real people.
            place, form = await self._door.posted(request, "run")
            generator = await self._generators.get(place.brand.id, _id(request))
            topic, text = form.get("topic", ""), form.get("context", "")
            forecast, problem = None, None
            try:
                context = read_object(text, "/context", 'Write a JSON object, as {"match": "Reds vs Blues"}')
                call = RunCall(
                    brand_id=place.brand.id,
                    generator_id=generator.id,
                    topic_key=topic,
                    context=context,
                    triggered_by="console",
                )
                forecast = await self._triggers.dry_run(call)
            except _AT_THE_TRY as error:
                problem = error
            attempt = Try(topic=topic, context=text, forecast=forecast, problem=problem)
            return await self._page(request, place, generator, attempt=attempt)

        return [publish, tried]

    async def _posted(
        self, request: AnyRequest, place: Place, form: Mapping[str, str], generator: Generator | None
    ) -> Response[str] | Redirect:
        drawn = posted_form(form)
        if form.get("do") != "save":
            return await self._page(request, place, generator, drawn=drawn)
        brand_id = place.brand.id
        try:
            draft = draft_of(form, drawn)
            if generator is None:
                saved = await self._generators.create(
                    brand_id, draft, generator_id=form.get("id", "").strip() or None, generator_type=type_of(form)
                )
            elif form.get(SEEN) != seen_of(generator):
                raise edited_meanwhile()
            else:
                saved = await self._generators.update(brand_id, generator.id, draft, edited_from=generator.updated_at)
        except _AT_THE_FORM as problem:
            return await self._page(request, place, generator, drawn=drawn, problem=problem)
        return Redirect(f"{place.root}{path_of(saved.id)}?saved=yes", status_code=303)

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        generator: Generator | None,
        *,
        drawn: GeneratorForm | None = None,
        problem: Problem | None = None,
        refused: bool = False,
        told: str = "",
        warnings: Sequence[Violation] = (),
        bindings: Mapping[str, str] | None = None,
        attempt: Try | None = None,
    ) -> Response[str]:
        shown = drawn or form_of(generator)
        errors, others = errors_at(problem, places(len(shown.rows)))
        campaigns = await self._campaigns(place.brand.id)
        facts: dict[str, Any] = {}
        if generator is not None:
            topics = [(one.key, one.name) for one in await self._topics.page(place.brand.id)]
            sample = sample_payload(generator.context_schema)
            attempt = attempt or Try(topic=topics[0][0] if topics else "", context=_pretty(sample))
            facts = {
                "topics": topics,
                "sample": sample,
                "sample_text": _pretty(sample),
                "sample_problems": _problems(generator, sample),
                "curls": curl_lines(self._base_url, place.brand.brand_key, generator.id, attempt.topic, sample),
                "may_call": generator.type == API_TRIGGERED,
                "here": f"{place.root}{path_of(generator.id)}",
            }
        return self._door.page(
            request,
            "authoring/generator.html",
            place,
            tab="generators",
            # What is wrong with a try is told where it was asked for.
            problem=problem or (attempt.problem if attempt else None),
            form_problem=problem,
            may_run=place.may("run"),
            refused=refused,
            generator=generator,
            form=shown.fields,
            drawn=shown,
            errors=errors,
            others=others,
            campaigns=_with([("", "Choose…"), *campaigns], shown.fields.get("campaign_id", "")),
            types=TYPES,
            ways=WAYS if shown.may_use_rows else {name: said for name, said in WAYS.items() if name != "fields"},
            field_types=FIELD_TYPES,
            as_it_is=AS_IT_IS,
            told=told,
            warnings=warnings,
            bindings=bindings,
            attempt=attempt,
            **facts,
        )

    async def _campaigns(self, brand_id: UUID) -> Offered:
        return (await self._chooser.choices(brand_id, {"campaigns"}))["campaigns"]


def path_of(generator_id: str) -> str:
    """Where below a brand's pages the generator's is."""
    return f"/generators/id/{quote(generator_id, safe='')}"


def _problems(generator: Generator, sample: dict[str, Any]) -> list[Violation]:
    """What the schema has against the sample; patterns and conditions are not solved for it."""
    return [] if generator.context_schema is None else ContextSchema(generator.context_schema).violations(sample)


def _pretty(value: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _with(options: list[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    return [*options, *([(chosen, chosen)] if chosen and chosen not in dict(options) else [])]


def _id(request: AnyRequest) -> str:
    return unquote(request.path_params["generator_id"])
