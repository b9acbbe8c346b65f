"""`/console/brands/…/segments`: who is meant, put together in a form, and counted while it is."""

from collections.abc import Mapping
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.segments.expressions import Expression, conditions_in
from stentor.audience.segments.model import Count, Seen, Segment, SegmentPatch
from stentor.audience.segments.service import NAME_CHARS_MAX, SegmentService
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.choosing import Chooser
from stentor.console.segment_form.kinds import GROUPS
from stentor.console.segment_form.rows import Row, changed, new_root, posted_rows, read_rows, rows_of
from stentor.console.segment_form.view import nouns_in, values_list, view
from stentor.console.visits import AnyRequest
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, Problem, QuotaExceeded, RateLimited, Unavailable

SHOWN = 50
PEOPLE_SHOWN = 20
SEGMENT_FORM_BYTES_MAX = 1024 * 1024

_AT_THE_FORM = (Conflict, Invalid)
_UNCOUNTED = (Invalid, RateLimited, Unavailable)
_NOTHING_SEEN = Seen(sampled=0, attributes=(), events=())
_LIST = f"{HERE}/segments"
_ONE = f"{HERE}/segments/{{segment_id:str}}"


class SegmentPages:
    """Segments in the console. What they do goes through the same service as what programs do."""

    def __init__(self, door: BrandDoor, segments: SegmentService, chooser: Chooser) -> None:
        self._door = door
        self._segments = segments
        self._chooser = chooser

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._changing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = _after(request.query_params.get("after", ""))
            found = await self._segments.page(place.brand.id, after=after, limit=SHOWN + 1)
            rows = [(one, sum(1 for _ in conditions_in(one.expression))) for one in found[:SHOWN]]
            more = found[SHOWN - 1].id if len(found) > SHOWN else None
            return self._door.page(
                request,
                "segments.html",
                place,
                tab="segments",
                segments=rows,
                more=more,
                is_first=after is None,
                told="The segment is deleted." if "deleted" in request.query_params else "",
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            return await self._editor(request, place, new_root(), name="")

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            segment = await self._segments.get(place.brand.id, _id(request))
            told = "The segment is saved." if "saved" in request.query_params else ""
            root = rows_of(segment.expression)
            return await self._editor(request, place, root, name=segment.name, segment=segment, told=told)

        @get(f"{_ONE}/people", include_in_schema=False)
        async def people(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            segment = await self._segments.get(place.brand.id, _id(request))
            problem: Problem | None = None
            try:
                found = await self._segments.members(place.brand.id, segment.id, limit=PEOPLE_SHOWN)
            except (RateLimited, Unavailable) as error:
                found, problem = (), error
            counted = await self._counted(place, segment.expression)
            return self._door.page(
                request,
                "segment_people.html",
                place,
                tab="segments",
                problem=problem,
                segment=segment,
                people=found,
                shown=PEOPLE_SHOWN,
                counted=counted,
            )

        return [listed, new, one, people]

    def _changing(self) -> list[HTTPRouteHandler]:
        @post(
            f"{_LIST}/new",
            include_in_schema=False,
            request_max_body_size=SEGMENT_FORM_BYTES_MAX,
            status_code=200,
        )
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, None)

        @post(_ONE, include_in_schema=False, request_max_body_size=SEGMENT_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, await self._segments.get(place.brand.id, _id(request)))

        @post(f"{_LIST}/count", include_in_schema=False, request_max_body_size=SEGMENT_FORM_BYTES_MAX, status_code=200)
        async def count(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "read")
            counted = await self._counted_form(place, form)
            return self._door.page(request, "segment_count.html", place, tab="segments", counted=counted)

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=SEGMENT_FORM_BYTES_MAX)
        async def delete(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            segment = await self._segments.get(place.brand.id, _id(request))
            try:
                await self._segments.delete(place.brand.id, segment.id)
            except Conflict as problem:
                root = rows_of(segment.expression)
                return await self._editor(request, place, root, name=segment.name, segment=segment, problem=problem)
            return Redirect(f"{place.root}/segments?deleted=yes", status_code=303)

        return [make, change, count, delete]

    async def _posted(
        self, request: AnyRequest, place: Place, form: Mapping[str, str], segment: Segment | None
    ) -> Response[str] | Redirect:
        """The form of a new segment, or of that one: saved, or drawn again as its button says."""
        name, order = form.get("name", ""), form.get("do", "")
        try:
            root = posted_rows(form)
        except Invalid as problem:
            return await self._editor(request, place, new_root(), name=name, segment=segment, problem=problem)
        if order != "save":
            counted = await self._counted_form(place, form) if order == "count" else None
            at = changed(root, order)
            return await self._editor(request, place, root, name=name, segment=segment, counted=counted, focus=at)
        try:
            expression = _read(name, root)
            if segment is None:
                saved = await self._segments.create(place.brand.id, name, expression)
            else:
                patch = SegmentPatch(name=name, expression=expression)
                saved = await self._segments.update(place.brand.id, segment.id, patch)
        except _AT_THE_FORM as problem:
            return await self._editor(request, place, root, name=name, segment=segment, problem=problem)
        return Redirect(f"{place.root}/segments/{saved.id}?saved=yes", status_code=303)

    async def _editor(
        self,
        request: AnyRequest,
        place: Place,
        root: Row,
        *,
        name: str,
        segment: Segment | None = None,
        problem: Problem | None = None,
        counted: "Counted | None" = None,
        focus: str = "",
        told: str = "",
    ) -> Response[str]:
        choices = await self._chooser.choices(place.brand.id, nouns_in(root))
        shown, others = view(root, choices, problem)
        uses = () if segment is None else await self._segments.uses(place.brand.id, segment.id)
        return self._door.page(
            request,
            "segment.html",
            place,
            tab="segments",
            problem=problem,
            segment=segment,
            name=name,
            name_error=_about_name(problem),
            root=shown,
            is_alone=root.fields.get("alone") == "yes",
            others=others,
            uses=uses,
            seen=await self._seen(request, place),
            values_list=values_list,
            groups=GROUPS,
            counted=counted,
            focus=focus,
            told=told,
        )

    async def _seen(self, request: AnyRequest, place: Place) -> Seen:
        """What the form suggests. It stands beside what is drawn anew, and costs a look at some thousand people."""
        if "hx-request" in request.headers:
            return _NOTHING_SEEN
        try:
            return await self._segments.seen(place.brand.id)
        except Unavailable:
            return _NOTHING_SEEN

    async def _counted_form(self, place: Place, form: Mapping[str, str]) -> "Counted":
        try:
            return await self._counted(place, read_rows(posted_rows(form)).expression)
        except Invalid:
            return "Fill in all conditions to see how many people that is."

    async def _counted(self, place: Place, expression: Expression) -> "Counted":
        try:
            return await self._segments.count(place.brand.id, expression)
        except _UNCOUNTED as problem:
            return problem.detail


Counted = Count | str
"""How many people that is, or why nobody can tell."""


def _read(name: str, root: Row) -> Expression:
    """The expression of the form. Raises Invalid for all that is wrong with it, and with the name."""
    problems: list[Invalid] = []
    try:
        checked_name(name, NAME_CHARS_MAX)
    except Invalid as problem:
        problems.append(problem)
    try:
        expression = read_rows(root).expression
    except Invalid as problem:
        problems.append(problem)
    else:
        if not problems:
            return expression
    raise Invalid(problems[0].detail, violations=[each for problem in problems for each in problem.violations])


def _about_name(problem: Problem | None) -> str:
    if isinstance(problem, Conflict) and not isinstance(problem, QuotaExceeded) and "already" in problem.detail:
        return problem.detail
    return next((each.message for each in problem.violations if each.pointer == "/name"), "") if problem else ""


def _id(request: AnyRequest) -> UUID:
    return read_id(request.path_params["segment_id"])


def _after(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
