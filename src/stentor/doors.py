"""The HTTP doors beside the API: pages for the people who get messages, and pages for those who send them."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from stentor.accounts.user_model import Origin
from stentor.api.app import Door
from stentor.api.problems import status_of
from stentor.api.proxies import client_address
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.throttle import Throttle, line_of
from stentor.audience.choices import ChoiceService
from stentor.audience.held_imports import HeldFiles
from stentor.audience.import_carrier import ImportCarrier
from stentor.clock import Clock
from stentor.console.access import InboxAccess
from stentor.console.account import MyAccountPages
from stentor.console.authoring.campaign_checks import CampaignCheckPages
from stentor.console.authoring.campaign_parts import CampaignPartPages
from stentor.console.authoring.catalogue import CataloguePages, SharedCatalogue
from stentor.console.authoring.generators import GeneratorPages
from stentor.console.authoring.template_editor import TemplateEditor
from stentor.console.authoring.template_looks import TemplateLooks
from stentor.console.authoring.template_tests import TemplateTestPages
from stentor.console.authoring.template_versions import TemplateVersionPages
from stentor.console.authoring.templates import TemplatePages
from stentor.console.brand import BrandDoor
from stentor.console.calendar import CalendarPages
from stentor.console.campaigns import CampaignPages
from stentor.console.choosing import Chooser
from stentor.console.connectors import ConnectorPages
from stentor.console.consent.jobs import OptoutJobPages
from stentor.console.consent.lists import OptoutListPages
from stentor.console.consent.topics import TopicPages
from stentor.console.console import ConsolePages, Part
from stentor.console.entry import EntryPages
from stentor.console.hub_clients import HubClientPages
from stentor.console.inbox import InboxPages
from stentor.console.integrations.notices import NoticePages
from stentor.console.integrations.pulls import PullPages
from stentor.console.live import Live
from stentor.console.organisation import OrganisationPages
from stentor.console.pages import static_routes
from stentor.console.partners import PartnerPages
from stentor.console.people.acting import PersonActs
from stentor.console.people.customers import CustomerPages
from stentor.console.people.imports import ImportPages
from stentor.console.people.person import PersonPages
from stentor.console.running.acting import ActingPages
from stentor.console.running.alerts import Alerts
from stentor.console.running.coming import ComingUp
from stentor.console.running.execution import ExecutionPage
from stentor.console.running.executions import ExecutionPages
from stentor.console.running.first_message import FirstMessage, FirstMessagePages
from stentor.console.running.home import HomePages
from stentor.console.running.people import PeoplePages
from stentor.console.schedules import SchedulePages
from stentor.console.segments import SegmentPages
from stentor.console.settings.audit import AuditPages
from stentor.console.settings.brand import BrandSettingsPages
from stentor.console.settings.families import Families
from stentor.console.settings.integration import IntegrationPages
from stentor.console.settings.rules import RulePages
from stentor.console.settings.senders import SenderPages
from stentor.console.settings.test_recipients import TestRecipientPages
from stentor.console.settings.usage import UsagePages
from stentor.console.visits import AnyRequest, Visits
from stentor.pages.message_links import MessageLinks
from stentor.pages.optout import OptoutPages
from stentor.pages.preferences import PreferencePages
from stentor.pages.unsubscribe import UnsubscribePages
from stentor.pages.view import ViewPages
from stentor.wiring.core import Core, base_url, data_directory, disk_reserve
from stentor.wiring.services import people_accounts


def doors(core: Core, services: Services, settings: ApiSettings) -> Sequence[Door]:
    """The doors over these services, each with the way it writes errors down."""
    clock = Clock(core.db.shift)
    people = people_accounts(core)
    visits = Visits(
        people.sessions,
        people.devices,
        form_key=core.secret.derive("forms"),
        is_secure=(core.settings.public_url or "").startswith("https://"),
        origin_of=lambda request: origin_of(request, settings.trusted_proxies),
        status_of=status_of,
    )
    door = BrandDoor(visits, services.brands)
    live = Live(door)
    looks = TemplateLooks(services.template_checks, services.customers, services.generators)
    editor = TemplateEditor(
        door,
        looks,
        templates=services.templates,
        fields=services.template_fields,
        test_recipients=services.test_recipients,
    )
    chooser = Chooser(services.segments, services.tags, services.topics, services.campaigns)
    held = HeldFiles(data_directory(core.settings) / "imports", disk_reserve(core.settings))
    person = PersonPages(
        door,
        finder=services.finder,
        subscriptions=services.subscriptions,
        topics=services.topics,
        tags=services.tags,
        timelines=services.timelines,
        reach=services.reach,
        executions=services.executions,
        pulls=services.pulls,
        exports=services.person_exports,
    )
    execution = ExecutionPage(
        door,
        executions=services.executions,
        figures=services.figures,
        experiments=services.experiments,
        reported=services.reported,
        accounts=services.accounts,
        live=live,
        clock=clock,
        base_url=base_url(core.settings),
    )
    console = ConsolePages(
        visits=visits,
        entry=EntryPages(
            visits=visits,
            sign_in=people.sign_in,
            joining=people.joining,
            sessions=people.sessions,
            invitations=people.invitations,
            accounts=services.accounts,
            oidc=people.oidc,
        ),
        account=MyAccountPages(
            visits=visits,
            sign_in=people.sign_in,
            sessions=people.sessions,
            factors=people.second_factors,
            accounts=services.accounts,
            provider=None if people.oidc is None else people.oidc.settings.name,
        ),
        organisation=OrganisationPages(
            visits=visits,
            accounts=services.accounts,
            users=people.users,
            invitations=people.invitations,
            clock=clock,
            base_url=base_url(core.settings),
        ),
        home=HomePages(
            door,
            live,
            today=services.today,
            alerts=Alerts(services.today, services.senders, services.imports, services.optout_jobs),
            coming=ComingUp(services.today, services.schedules),
            clock=clock,
        ),
        first_message=FirstMessagePages(
            door,
            live,
            first=FirstMessage(
                topics=services.topics,
                customers=services.customers,
                subscriptions=services.subscriptions,
                templates=services.templates,
                campaigns=services.campaigns,
                generators=services.generators,
                triggers=services.triggers,
            ),
            inbox=services.inbox,
            base_url=base_url(core.settings),
        ),
        customers=CustomerPages(door, finder=services.finder, customers=services.customers, tags=services.tags),
        person=person,
        person_acts=PersonActs(
            door,
            visits,
            person,
            finder=services.finder,
            profiles=services.profiles,
            subscriptions=services.subscriptions,
            tags=services.tags,
            merges=services.merges,
            erasures=services.erasures,
        ),
        imports=ImportPages(
            door, imports=services.imports, files=held, carrier=ImportCarrier(services.imports, held), clock=clock
        ),
        segments=SegmentPages(door, services.segments, chooser),
        campaigns=CampaignPages(
            door,
            campaigns=services.campaigns,
            templates=services.templates,
            senders=services.senders,
            chooser=chooser,
        ),
        campaign_parts=CampaignPartPages(
            door,
            campaigns=services.campaigns,
            templates=services.templates,
            senders=services.senders,
            chooser=chooser,
        ),
        campaign_checks=CampaignCheckPages(
            door,
            campaigns=services.campaigns,
            checks=services.publish_checks,
            test_sends=services.test_sends,
            recipients=services.test_recipients,
            limiter=services.limiter,
        ),
        generators=GeneratorPages(
            door,
            generators=services.generators,
            triggers=services.triggers,
            topics=services.topics,
            chooser=chooser,
            base_url=base_url(core.settings),
        ),
        catalogue=CataloguePages(
            door, catalogue=services.catalogue, shares=services.catalogue_shares, base_url=base_url(core.settings)
        ),
        calendar=CalendarPages(door, calendar=services.calendar, schedules=services.schedules, clock=clock),
        executions=ExecutionPages(door, services.executions, services.campaigns, live),
        execution=execution,
        acting=ActingPages(door, services.executions, execution),
        people=PeoplePages(
            door,
            executions=services.executions,
            messages=services.message_views,
            pulls=services.pulls,
        ),
        schedules=SchedulePages(
            door,
            schedules=services.schedules,
            batches=services.batches,
            runs=services.campaign_runs,
            chooser=chooser,
            clock=clock,
        ),
        templates=TemplatePages(door, editor, looks, services.templates),
        template_versions=TemplateVersionPages(door, services.templates),
        template_tests=TemplateTestPages(
            door,
            editor,
            looks,
            templates=services.templates,
            test_sends=services.test_sends,
            test_recipients=services.test_recipients,
            limiter=services.limiter,
        ),
        partners=PartnerPages(
            door,
            channels=services.partner_channels,
            content=services.partner_content,
            clients=services.hub_clients,
            senders=services.senders,
        ),
        hub_clients=HubClientPages(
            door,
            clients=services.hub_clients,
            channels=services.partner_channels,
            listeners=services.listeners,
            segments=services.segments,
            clock=clock,
        ),
        connectors=ConnectorPages(door, services.connectors),
        more=[
            *_settings(core, services, visits, door),
            *_consent(core, services, door),
            *_integrations(core, services, door),
        ],
    )
    access = InboxAccess(
        services.keys,
        services.brands,
        visits,
        clock,
        secret=core.secret.derive("inbox-cookies"),
        host=core.settings.host,
        public_url=core.settings.public_url or "",
    )
    inbox = InboxPages(services.inbox, services.accounts, access, visits, clock)
    message_links = MessageLinks(core.links, services.executions, services.brands, services.topics)
    unsubscribe = UnsubscribePages(
        links=message_links,
        subscriptions=services.subscriptions,
        caller=lambda request: client_address(request.scope, settings.trusted_proxies),
    )
    # A carrier hides thousands of people behind an address, and whoever invents addresses for a list is kept to a slow pace.
    looks, opt_outs = Throttle(per_s=20, burst=200), Throttle(per_s=2, burst=40)
    preferences = PreferencePages(
        links=message_links,
        choices=ChoiceService(core.db),
        subscriptions=services.subscriptions,
        clock=clock,
        caller=lambda request: client_address(request.scope, settings.trusted_proxies),
        throttled=lambda request: looks.take(line_of(client_address(request.scope, settings.trusted_proxies))),
    )
    view = ViewPages(
        links=message_links,
        messages=services.message_views,
        throttled=lambda request: looks.take(line_of(client_address(request.scope, settings.trusted_proxies))),
    )
    optout = OptoutPages(
        lists=services.optout_lists,
        entries=services.optout_entries,
        brands=services.brands,
        caller=lambda request: client_address(request.scope, settings.trusted_proxies),
        look_throttled=lambda request: looks.take(line_of(client_address(request.scope, settings.trusted_proxies))),
        post_throttled=lambda request: opt_outs.take(line_of(client_address(request.scope, settings.trusted_proxies))),
    )
    readers = Throttle(per_s=2, burst=40)
    shared = SharedCatalogue(
        catalogue=services.catalogue,
        shares=services.catalogue_shares,
        brands=services.brands,
        base_url=base_url(core.settings),
        throttled=lambda request: readers.take(line_of(client_address(request.scope, settings.trusted_proxies))),
    )
    return (
        Door("/inbox", [inbox.routes()], inbox.error_page),
        Door("/console", [static_routes(), console.routes()], console.error_page),
        Door(
            "/u/",
            [unsubscribe.routes(), optout.routes(), shared.routes()],
            lambda request, failure: unsubscribe.error_page(request, failure.status, failure.headers),
        ),
        Door(
            "/p/",
            [preferences.routes()],
            lambda request, failure: unsubscribe.error_page(request, failure.status, failure.headers),
        ),
        Door(
            "/v/",
            [view.routes()],
            lambda request, failure: unsubscribe.error_page(request, failure.status, failure.headers),
        ),
    )


def _settings(core: Core, services: Services, visits: Visits, door: BrandDoor) -> Sequence[Part]:
    """The pages of settings."""
    families = Families(
        campaigns=services.campaigns,
        generators=services.generators,
        topics=services.topics,
        lists=services.optout_lists,
        channels=services.partner_channels,
        clients=services.hub_clients,
        base_url=base_url(core.settings),
    )
    return (
        BrandSettingsPages(door, services.accounts),
        RulePages(door, services.accounts, services.audit),
        SenderPages(
            door,
            senders=services.senders,
            health=services.sender_health,
            tests=services.sender_tests,
            recipients=services.test_recipients,
        ),
        TestRecipientPages(door, services.test_recipients),
        UsagePages(door, services.usage),
        IntegrationPages(
            door,
            accounts=services.accounts,
            families=families,
            clock=Clock(core.db.shift),
            base_url=base_url(core.settings),
        ),
        AuditPages(door, visits=visits, accounts=services.accounts, audit=services.audit),
    )


def _consent(core: Core, services: Services, door: BrandDoor) -> Sequence[Part]:
    """The pages of what people chose: topics and opt-out lists."""
    return (
        TopicPages(door, services.topics),
        OptoutListPages(door, lists=services.optout_lists, entries=services.optout_entries, jobs=services.optout_jobs),
        OptoutJobPages(
            door,
            jobs=services.optout_jobs,
            lists=services.optout_lists,
            links=services.file_links,
            base_url=base_url(core.settings),
        ),
    )


def _integrations(core: Core, services: Services, door: BrandDoor) -> Sequence[Part]:
    """The pages of what outside services fetched and were told."""
    return (
        NoticePages(door, listeners=services.listeners, clients=services.hub_clients, clock=Clock(core.db.shift)),
        PullPages(door, pulls=services.pulls, reported=services.reported, executions=services.executions),
    )


def origin_of(request: AnyRequest, trusted: Sequence[IPv4Network | IPv6Network]) -> Origin:
    """Where a browser is, behind the proxies that are trusted."""
    address = client_address(request.scope, trusted)
    ip = "" if address is None else str(address)
    return Origin(ip, str(line_of(address) or ""), request.headers.get("user-agent", ""))
