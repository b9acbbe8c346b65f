"""`/console/brands/…/settings/rules`: how much one person gets, and when nobody does; who changed it, and what held until then."""

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.accounts.model import PolicyVersion
from stentor.accounts.service import AccountService
from stentor.console.brand import BrandDoor, Place
from stentor.console.fields import errors_at
from stentor.console.settings.rules_form import RulesForm
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import AnyRequest
from stentor.errors import Conflict, Invalid, Problem

RULES_FORM_BYTES_MAX = 256 * 1024
VERSIONS_SHOWN = 20

_AT_THE_FORM = (Conflict, Invalid)
_PATH = f"{SETTINGS}/rules"


class RulePages:
    """Caps, quiet hours and hourly limits. Whoever is in the brand reads them; its admins change them."""

    def __init__(self, door: BrandDoor, accounts: AccountService, audit: AuditLog) -> None:
        self._door = door
        self._accounts = accounts
        self._audit = audit

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_PATH, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = (
                "Saved. It holds within a second, also for what is under way."
                if "saved" in request.query_params
                else ""
            )
            return await self._page(request, place, told=told)

        @post(_PATH, include_in_schema=False, request_max_body_size=RULES_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            rules = RulesForm.posted(form)
            if form.get("do", "save") != "save":
                return await self._page(request, place, rules=rules)
            try:
                brand = await self._accounts.brand(place.brand.id)
                await self._accounts.update_brand_settings(place.brand.id, rules.changes(brand))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, rules=rules, problem=problem)
            return Redirect(f"{place.root}/settings/rules?saved=yes", status_code=303)

        return [shown, change]

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        *,
        rules: RulesForm | None = None,
        problem: Problem | None = None,
        told: str = "",
    ) -> Response[str]:
        brand = await self._accounts.brand(place.brand.id)
        form = rules or RulesForm.of(brand)
        errors, others = errors_at(problem, form.places)
        return settings_page(
            self._door,
            request,
            "rules.html",
            place,
            section="rules",
            problem=problem,
            others=others,
            seen=form.seen,
            quiet=form.quiet_views(errors),
            caps=form.cap_views(brand.settings, errors),
            hours=form.hour_views(errors),
            versions=await self._versions(place),
            told=told,
        )

    async def _versions(self, place: Place) -> list[tuple[PolicyVersion, AuditEntry | None]]:
        """The newest versions, each with the entry of the audit log that tells who made it, as long as that is kept."""
        versions = await self._accounts.policy_versions(place.brand.id, limit=VERSIONS_SHOWN)
        if not versions:
            return []
        narrowed = Narrowed(since=versions[-1].since, thing_kind="brand", thing_id=str(place.brand.id))
        entries = await self._audit.page(place.brand.id, narrowed)
        told = []
        until = None
        for version in versions:
            # The change was noted in its transaction, a moment after its version was.
            made = [one for one in entries if one.at >= version.since and (until is None or one.at < until)]
            told.append((version, made[-1] if made else None))
            until = version.since
        return told
