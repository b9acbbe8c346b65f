"""`/console/brands/…/campaigns/…/before`: what publishing would say, what each route says, and a test send to makers of it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from stentor.accounts.limits import RateLimiter, Standing, limit_of_test_sends
from stentor.accounts.test_recipients import TestRecipientService
from stentor.campaigns.publish_checks import PublishCheckService
from stentor.campaigns.service import CampaignService
from stentor.console.account import read_id
from stentor.console.authoring.generator_form import read_object
from stentor.console.authoring.generators import path_of
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.navigation import BUILT
from stentor.console.visits import AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem, RateLimited, TooLarge, Unavailable, Unprocessable
from stentor.triggers.test_sends import TO_MAX, TestSendCall, TestSendService, TestSent

CHECK_FORM_BYTES_MAX = 256 * 1024
RECIPIENTS_SHOWN = 100
_WAIT_S = 3

_ONE = f"{HERE}/campaigns/{{campaign_id:str}}/before"
_AT_THE_PAGE = (Conflict, Invalid, NotFound, RateLimited, TooLarge, Unavailable, Unprocessable)


class CampaignCheckPages:
    """The last look at a campaign before others get it."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        campaigns: CampaignService,
        checks: PublishCheckService,
        test_sends: TestSendService,
        recipients: TestRecipientService,
        limiter: RateLimiter,
    ) -> None:
        self._door = door
        self._campaigns = campaigns
        self._checks = checks
        self._test_sends = test_sends
        self._recipients = recipients
        self._limiter = limiter

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_ONE, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            return await self._page(request, await self._door.inside(request))

        @post(f"{_ONE}/test", include_in_schema=False, request_max_body_size=CHECK_FORM_BYTES_MAX, status_code=200)
        async def test(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "run")
            to = [name.removeprefix("to ") for name in form if name.startswith("to ")]
            try:
                if not to:
                    raise Invalid.field("/to", "missing", "Choose who gets it.")
                context = read_object(form.get("context", ""), "/context", 'Write a JSON object, as {"match": "Reds"}')
                call = TestSendCall(
                    brand_id=place.brand.id,
                    campaign_id=_id(request),
                    to=to[: TO_MAX + 1],
                    triggered_by=place.who.user.email,
                    shown_as=form.get("shown_as", "").strip() or None,
                    context=context,
                    wait_s=_WAIT_S,
                )
                _check_pace(await self._limiter.take([limit_of_test_sends(place.brand)]))
                sent = await self._test_sends.send(call)
            except _AT_THE_PAGE as problem:
                return await self._page(request, place, form=form, problem=problem)
            return await self._page(request, place, form=form, sent=sent)

        return [shown, test]

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        *,
        form: Mapping[str, str] | None = None,
        problem: Problem | None = None,
        sent: TestSent | None = None,
    ) -> Response[str]:
        brand_id, said = place.brand.id, form or {}
        campaign = await self._campaigns.get(brand_id, _id(request))
        findings = await self._checks.of_campaign(brand_id, campaign.id)
        recipients = await self._recipients.page(brand_id, after=None, limit=RECIPIENTS_SHOWN)
        return self._door.page(
            request,
            "authoring/before.html",
            place,
            tab="campaigns",
            problem=problem,
            campaign=campaign,
            findings=findings,
            recipients=recipients,
            chosen={name.removeprefix("to ") for name in said if name.startswith("to ")},
            to_max=TO_MAX,
            form=said,
            sent=sent,
            may_run=place.may("run"),
            has_templates="templates" in BUILT,
            path_of=path_of,
        )


def _id(request: AnyRequest) -> UUID:
    return read_id(request.path_params["campaign_id"])


def _check_pace(standings: Sequence[Standing]) -> None:
    for one in standings:
        if one.is_over:
            text = f"More than {one.limit.at_most} tests in a minute. Wait {one.retry_after_s} s, and send it again."
            raise RateLimited(text, retry_after_s=one.retry_after_s, limit=one.limit.at_most)
