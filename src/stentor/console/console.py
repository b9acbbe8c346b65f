"""`/console`: its pages put together, and how an error looks on them."""

from collections.abc import Sequence
from typing import Any, Protocol

from litestar import Response, Router
from litestar.handlers import HTTPRouteHandler

from stentor.console.account import MyAccountPages
from stentor.console.authoring.campaign_checks import CampaignCheckPages
from stentor.console.authoring.campaign_parts import CampaignPartPages
from stentor.console.authoring.catalogue import CataloguePages
from stentor.console.authoring.generators import GeneratorPages
from stentor.console.authoring.template_tests import TemplateTestPages
from stentor.console.authoring.template_versions import TemplateVersionPages
from stentor.console.authoring.templates import TemplatePages
from stentor.console.calendar import CalendarPages
from stentor.console.campaigns import CampaignPages
from stentor.console.connectors import ConnectorPages
from stentor.console.entry import EntryPages
from stentor.console.hub_clients import HubClientPages
from stentor.console.inbox import Failure
from stentor.console.organisation import OrganisationPages
from stentor.console.partners import PartnerPages
from stentor.console.people.acting import PersonActs
from stentor.console.people.customers import CustomerPages
from stentor.console.people.imports import ImportPages
from stentor.console.people.person import PersonPages
from stentor.console.running.acting import ActingPages
from stentor.console.running.execution import ExecutionPage
from stentor.console.running.executions import ExecutionPages
from stentor.console.running.first_message import FirstMessagePages
from stentor.console.running.home import HomePages
from stentor.console.running.people import PeoplePages
from stentor.console.schedules import SchedulePages
from stentor.console.segments import SegmentPages
from stentor.console.visits import AnyRequest, Visits, sign_in_at


class Part(Protocol):
    """Some pages of the console."""

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        ...


class ConsolePages:
    """The pages of the console beside the inbox."""

    def __init__(
        self,
        *,
        visits: Visits,
        entry: EntryPages,
        account: MyAccountPages,
        organisation: OrganisationPages,
        home: HomePages,
        first_message: FirstMessagePages,
        customers: CustomerPages,
        person: PersonPages,
        person_acts: PersonActs,
        imports: ImportPages,
        segments: SegmentPages,
        campaigns: CampaignPages,
        campaign_parts: CampaignPartPages,
        campaign_checks: CampaignCheckPages,
        generators: GeneratorPages,
        catalogue: CataloguePages,
        calendar: CalendarPages,
        schedules: SchedulePages,
        templates: TemplatePages,
        template_versions: TemplateVersionPages,
        template_tests: TemplateTestPages,
        executions: ExecutionPages,
        execution: ExecutionPage,
        acting: ActingPages,
        people: PeoplePages,
        partners: PartnerPages,
        hub_clients: HubClientPages,
        connectors: ConnectorPages,
        more: Sequence[Part],
    ) -> None:
        self._visits = visits
        self._parts: tuple[Part, ...] = (
            entry,
            account,
            organisation,
            home,
            first_message,
            customers,
            person,
            person_acts,
            imports,
            segments,
            campaigns,
            campaign_parts,
            campaign_checks,
            generators,
            catalogue,
            calendar,
            schedules,
            templates,
            template_versions,
            template_tests,
            executions,
            execution,
            acting,
            people,
            partners,
            hub_clients,
            connectors,
            *more,
        )

    def routes(self) -> Router:
        """The handlers, to be mounted at the root, with `error_page` as the envelope of `/console`."""
        return Router("/console", route_handlers=[handler for part in self._parts for handler in part.handlers()])

    def error_page(self, request: AnyRequest, failure: Failure) -> Response[Any]:
        """An error as a page; whoever is not signed in is led to where they can."""
        if "hx-request" in request.headers:
            # It asked for a part of a page, which stays as it is, with all that was typed; the page has a place for this.
            shown = self._visits.page(request, "trouble.html", who=None, status=failure.status, failure=failure)
            shown.headers |= {"HX-Retarget": "#trouble", "HX-Reswap": "innerHTML", "HX-Reselect": "#trouble-text"}
            return shown
        if failure.code == "unauthenticated":
            return sign_in_at(request)
        return self._visits.page(request, "console_error.html", who=None, status=failure.status, failure=failure)
