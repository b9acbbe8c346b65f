"""A template sent to the brand's own people, by a campaign that says it, made of the data that its preview is made of."""

from collections.abc import Mapping
from uuid import UUID

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from stentor.accounts.limits import RateLimiter, least_left, limit_of_test_sends
from stentor.accounts.test_recipients import TestRecipientService
from stentor.campaigns.templates import TemplateService
from stentor.console.authoring.template_editor import Draft, Shown, TemplateEditor, route_key
from stentor.console.authoring.template_looks import TemplateLooks
from stentor.console.authoring.templates import ONE, TEMPLATE_FORM_BYTES_MAX, posted_draft, template_id
from stentor.console.brand import BrandDoor, Place
from stentor.console.visits import AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, RateLimited, TooLarge
from stentor.triggers.test_sends import TestSendCall, TestSendService, TestSent

WAIT_S = 1.0
"""So long the page waits for what becomes of the messages; most are in the inbox by then."""

_AT_THE_FORM = (Conflict, Invalid, NotFound, RateLimited, TooLarge)


class TemplateTestPages:
    """Test sends from a template's page. All that was typed stays where it was."""

    def __init__(
        self,
        door: BrandDoor,
        editor: TemplateEditor,
        looks: TemplateLooks,
        *,
        templates: TemplateService,
        test_sends: TestSendService,
        test_recipients: TestRecipientService,
        limiter: RateLimiter,
    ) -> None:
        self._door = door
        self._editor = editor
        self._looks = looks
        self._templates = templates
        self._test_sends = test_sends
        self._recipients = test_recipients
        self._limiter = limiter

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @post(f"{ONE}/test", include_in_schema=False, request_max_body_size=TEMPLATE_FORM_BYTES_MAX, status_code=200)
        async def test(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "run")
            template = await self._templates.get(place.brand.id, template_id(request))
            draft = posted_draft(template, form)
            try:
                shown = Shown(sent=await self._sent(place, draft))
            except _AT_THE_FORM as problem:
                shown = Shown(problem=problem)
            return await self._editor.page(request, place, draft, shown)

        return [test]

    async def _sent(self, place: Place, draft: Draft) -> TestSent:
        if not draft.is_saved:
            raise Conflict(
                "A test says what is saved, and this is not yet. Save it first; nothing that you typed is lost."
            )
        campaign_id, step, route = await self._route(place, draft)
        addresses = await self._addresses(place, draft.form)
        sample = await self._looks.sample(place.brand.id, draft.form)
        who = draft.form.get("who", "").strip()
        await self._admit(place)
        return await self._test_sends.send(
            TestSendCall(
                brand_id=place.brand.id,
                campaign_id=campaign_id,
                to=addresses,
                triggered_by="console",
                step=step,
                routes=[route],
                shown_as=who or None,
                sample=None if who else sample.customer,
                context=sample.context,
                schema_of=draft.form.get("generator") or None,
                language=draft.language,
                wait_s=WAIT_S,
            )
        )

    async def _route(self, place: Place, draft: Draft) -> tuple[UUID, int, int]:
        """The route by which it goes out: one that says this template, as the form names it."""
        named = [] if draft.template is None else [draft.template.id]
        uses = await self._templates.uses(place.brand.id, named)
        chosen = next((use for use in uses if route_key(use) == draft.form.get("route")), None)
        if chosen is None:
            text = "Choose the campaign by which it is sent; where there is none, put the template into one first."
            raise Invalid.field("/routes", "unknown-route", text)
        return chosen.campaign_id, chosen.step, chosen.route

    async def _addresses(self, place: Place, form: Mapping[str, str]) -> list[str]:
        found = await self._recipients.page(place.brand.id, after=None, limit=100)
        chosen = [one.address for one in found if form.get(f"to-{one.id}")]
        if not chosen:
            raise Invalid.field("/to", "nobody", "Choose at least one test recipient.")
        return chosen

    async def _admit(self, place: Place) -> None:
        """Counts the test by the same limit as the API's."""
        least = least_left(await self._limiter.take([limit_of_test_sends(place.brand)]))
        if least.is_over:
            text = (
                f"More than {least.limit.at_most} tests in a minute. Wait {least.retry_after_s} s, then send it again."
            )
            raise RateLimited(text, retry_after_s=least.retry_after_s)
