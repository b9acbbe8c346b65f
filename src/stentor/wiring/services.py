"""What the doors call: each service, put together from the core."""

from ipaddress import ip_network

import msgspec

from stentor.accounts.attempts import Attempts
from stentor.accounts.audit import AuditLog
from stentor.accounts.devices import Devices
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.invitations import InvitationService
from stentor.accounts.joining import JoiningService
from stentor.accounts.keyring import KeyRing
from stentor.accounts.limits import RateLimiter
from stentor.accounts.oidc import OidcClient, OidcSettings
from stentor.accounts.passwords import Passwords
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.sessions import SessionService
from stentor.accounts.sign_in import SignInService
from stentor.accounts.test_recipients import TestRecipientService
from stentor.accounts.users import UserService
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.api.spool import Spools
from stentor.audience.anonymous import AddressNames
from stentor.audience.customer_events import CustomerEventService
from stentor.audience.customers import CustomerService
from stentor.audience.finding import PersonFinder
from stentor.audience.preferences import PreferenceService
from stentor.audience.profile_service import ProfileService
from stentor.audience.segments.service import SegmentService
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.tags import TagService
from stentor.audience.topics import TopicService, known_topics
from stentor.campaigns.catalogue import CatalogueService
from stentor.campaigns.catalogue_shares import CatalogueShares
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.known import known_campaigns
from stentor.campaigns.previews import PreviewService
from stentor.campaigns.publish_checks import PublishCheckService
from stentor.campaigns.service import CampaignService
from stentor.campaigns.sources import GeneratorSource
from stentor.campaigns.template_checks import TemplateCheckService
from stentor.campaigns.template_fields import TemplateFieldService
from stentor.campaigns.templates import TemplateService
from stentor.channels.at_work import OpenChannels
from stentor.channels.partners.callers import HubCallers
from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.content import PartnerContentService
from stentor.channels.public_address import Reach
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.service import SenderService
from stentor.clock import Clock
from stentor.erasures.exporting import ExportService
from stentor.erasures.log import ErasureLog
from stentor.erasures.merging import MergeService
from stentor.erasures.model import Digests
from stentor.erasures.service import ErasureService
from stentor.executions.experiments import ExperimentService
from stentor.executions.figures import FigureService
from stentor.executions.quieting import QuietSource
from stentor.executions.reaching import ReachService
from stentor.executions.service import ExecutionService
from stentor.executions.showing import MessageViews
from stentor.executions.timeline import TimelineService
from stentor.executions.today import TodayService
from stentor.integrations.access import HubAccess
from stentor.integrations.attributes import PartnerAttributes
from stentor.integrations.clearance.service import ClearanceService
from stentor.integrations.listeners.service import ListenerService
from stentor.integrations.marks import ListMarks
from stentor.integrations.metrics.interactions import InteractionService
from stentor.integrations.metrics.reported import ReportedService
from stentor.integrations.metrics.telling import FactService
from stentor.integrations.metrics.totals import TotalService
from stentor.integrations.numbers import NumberBook
from stentor.integrations.preferences import PartnerPreferences
from stentor.integrations.promotions import PromotionService
from stentor.integrations.runs import RunBook
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.entry_service import EntryService
from stentor.optouts.jobs.service import JobService
from stentor.optouts.links import FileLinks
from stentor.optouts.lists import ListService
from stentor.optouts.shared_check import SharedCheck
from stentor.optouts.uploads import UploadService
from stentor.render.skeleton import reassemble
from stentor.report.sender_health import SenderHealthService
from stentor.report.usage import UsageService
from stentor.settings import Settings
from stentor.triggers.batches.service import BatchService, awaited_tag
from stentor.triggers.batches.streaming import StreamService
from stentor.triggers.calendar import CalendarService
from stentor.triggers.campaign_runs import CampaignRunner
from stentor.triggers.checking import CallChecker
from stentor.triggers.messages import MessageService
from stentor.triggers.met import EventTriggers
from stentor.triggers.schedules.service import ScheduleService
from stentor.triggers.schedules.targets import TargetChecker
from stentor.triggers.sender_tests import SenderTestService
from stentor.triggers.service import TriggerService
from stentor.triggers.test_sends import TestSendService
from stentor.triggers.uses import needed_tag, segment_uses
from stentor.wiring.connectors import connector_service, receiver
from stentor.wiring.core import (
    Core,
    account_links,
    accounts,
    base_url,
    campaign_checker,
    data_directory,
    disk_reserve,
    imports,
    list_reserve,
    outbound,
    revocations,
    signing_secrets,
)
from stentor.wiring.pulls import pull_service


class PeopleAccounts(msgspec.Struct, frozen=True, kw_only=True):
    """What lets people sign in, one service each."""

    users: UserService
    invitations: InvitationService
    sessions: SessionService
    second_factors: SecondFactors
    sign_in: SignInService
    joining: JoiningService
    devices: Devices
    oidc: OidcClient | None


def people_accounts(core: Core) -> PeopleAccounts:
    """Users, invitations, sessions, and the ways to sign in."""
    clock, sends_mail = Clock(core.db.shift), core.settings.mail_url is not None
    links = account_links(core)
    attempts = _attempts(core)
    sessions = SessionService(core.db, core.secret.derive("sessions"))
    factors = SecondFactors(core.db, attempts, clock, key=core.secret.derive("second-factors"))
    invitations = InvitationService(core.db, links, attempts, sends_mail=sends_mail)
    devices = Devices(core.secret.derive("devices"), clock)
    passwords = Passwords(core.secret.derive("passwords"))
    return PeopleAccounts(
        users=UserService(core.db, on_key_revoked=revocations(core).try_to_keep),
        invitations=invitations,
        sessions=sessions,
        second_factors=factors,
        sign_in=SignInService(
            core.db,
            passwords=passwords,
            sessions=sessions,
            factors=factors,
            attempts=attempts,
            devices=devices,
            links=links,
            sends_mail=sends_mail,
        ),
        joining=JoiningService(core.db, passwords=passwords, sessions=sessions, invitations=invitations),
        devices=devices,
        oidc=_oidc(core, clock),
    )


def _attempts(core: Core) -> Attempts:
    return Attempts(core.db, core.secret.derive("attempts"))


def _oidc(core: Core, clock: Clock) -> OidcClient | None:
    said = core.settings
    if said.oidc_issuer is None or said.oidc_client_id is None or said.oidc_client_secret is None:
        return None
    settings = OidcSettings(
        issuer=said.oidc_issuer,
        client_id=said.oidc_client_id,
        client_secret=said.oidc_client_secret.get_secret_value(),
        name=said.oidc_name,
        redirect_uri=f"{base_url(said)}/console/oidc/callback",
    )
    return OidcClient(settings, clock, key=core.secret.derive("oidc-cookies"))


def services(core: Core) -> Services:
    """What the doors call."""
    brands = BrandDirectory(core.db)
    executions = ExecutionService(
        core.db,
        core.publications,
        core.composer,
        QuietSource(brands),
        core.look_up,
        history_days=core.settings.history_days,
    )
    clock = Clock(core.db.shift)
    campaigns = campaign_checker(core)
    batches = BatchService(core.db, campaigns, executions)
    generators = GeneratorSource(core.db, core.publications)
    people = people_accounts(core)
    previews = PreviewService(core.db, core.preview_process, clock)
    names = AddressNames(core.secret.derive("addresses"))
    # Apart from people's: services that log in together keep nobody from signing in.
    hub_passwords = Passwords(core.secret.derive("hub-passwords"))
    hub_callers = HubCallers(core.db, hub_passwords, core.secret.derive("hub-keys"))
    limiter = RateLimiter(core.db)
    customers = CustomerService(core.db)
    listeners = ListenerService(core.db, signing_secrets(core), outbound(core.settings))
    senders = SenderService(core.db, core.sender_secrets, reach(core.settings))
    inbox = InboxService(core.db, core.send_ids, reassemble)
    return Services(
        database=core.db,
        reserve=disk_reserve(core.settings),
        keys=KeyRing(core.db, core.secret.derive("pepper")),
        brands=brands,
        accounts=accounts(core),
        users=people.users,
        invitations=people.invitations,
        audit=AuditLog(core.db),
        limiter=limiter,
        customers=customers,
        finder=PersonFinder(core.db),
        timelines=TimelineService(core.db),
        reach=ReachService(core.db, EntryService(core.db, core.look_up)),
        merges=MergeService(core.db),
        erasures=erasures(core),
        person_exports=person_exports(core),
        topics=TopicService(core.db),
        subscriptions=SubscriptionService(core.db),
        preferences=PreferenceService(core.db, brands),
        profiles=ProfileService(core.db),
        tags=TagService(core.db, needed=[awaited_tag, needed_tag]),
        imports=imports(core),
        segments=segments(core),
        customer_events=CustomerEventService(
            core.db,
            clock,
            days=core.settings.history_days,
            triggers=EventTriggers(brands, generators, core.publications).of,
        ),
        senders=senders,
        sender_health=SenderHealthService(core.db),
        sender_tests=SenderTestService(
            core.db,
            senders,
            lambda: OpenChannels(
                core.db, core.sender_secrets, SandboxChannel(core.db, ChaosSource(core.db)), outbound(core.settings)
            ),
            reach=reach(core.settings),
            entries=EntryService(core.db, core.look_up),
            limiter=limiter,
            send_ids=core.send_ids,
        ),
        usage=UsageService(core.db),
        partner_channels=PartnerChannelService(core.db),
        partner_content=PartnerContentService(core.db),
        hub_clients=hub_clients(core, hub_passwords),
        connectors=connector_service(core),
        connector_notices=receiver(core),
        hub_callers=hub_callers,
        hub_access=HubAccess(
            core.db, hub_callers, key=core.secret.derive("hub-tokens"), attempts=_attempts(core), limiter=limiter
        ),
        hub_numbers=NumberBook(core.db),
        partner_runs=RunBook(core.db),
        list_marks=ListMarks(core.db),
        partner_preferences=PartnerPreferences(core.db),
        partner_attributes=PartnerAttributes(core.db, customers, listeners),
        promotions=PromotionService(core.db),
        spools=Spools(data_directory(core.settings) / "spool", bytes_max=core.settings.spool_bytes),
        templates=TemplateService(core.db),
        previews=previews,
        template_checks=TemplateCheckService(core.db, previews),
        template_fields=TemplateFieldService(core.db, segments(core)),
        campaigns=CampaignService(core.db),
        publish_checks=PublishCheckService(core.db, TemplateCheckService(core.db, previews)),
        campaign_runs=CampaignRunner(core.db, campaigns, executions, clock=clock),
        generators=GeneratorService(core.db),
        catalogue=CatalogueService(core.db, TopicService(core.db)),
        catalogue_shares=CatalogueShares(core.db, core.secret.derive("catalogue-links")),
        executions=executions,
        today=TodayService(core.db),
        figures=FigureService(core.db, executions, core.publications, brands, clock),
        message_views=MessageViews(core.db, executions, core.publications, core.composer, inbox, core.send_ids, clock),
        pulls=pull_service(core),
        experiments=ExperimentService(core.db, core.publications),
        triggers=TriggerService(core.db, brands, generators, executions, clock=clock),
        messages=MessageService(
            core.db,
            brands,
            generators,
            core.publications,
            executions,
            send_ids=core.send_ids,
            names=names,
        ),
        test_recipients=TestRecipientService(
            core.db, account_links(core), _attempts(core), sends_mail=core.settings.mail_url is not None
        ),
        test_sends=TestSendService(core.db, brands, previews, executions, send_ids=core.send_ids, names=names),
        batches=batches,
        streams=StreamService(core.db, batches),
        calendar=CalendarService(core.db, clock),
        schedules=ScheduleService(core.db, TargetChecker(CallChecker(brands, generators), campaigns), executions),
        inbox=inbox,
        totals=TotalService(core.db),
        interactions=InteractionService(core.db, clock),
        partner_facts=FactService(core.db, clock),
        reported=ReportedService(core.db),
        optout_lists=ListService(core.db, {"campaigns": known_campaigns, "topics": known_topics}),
        optout_entries=EntryService(core.db, core.look_up),
        optout_checks=BulkCheck(core.db, core.look_up),
        optout_shared_checks=SharedCheck(core.db, core.look_up),
        optout_jobs=JobService(core.db, core.storage),
        optout_uploads=UploadService(core.db, core.storage, list_reserve(core.settings)),
        clearances=ClearanceService(core.db),
        listeners=listeners,
        file_links=FileLinks(core.secret.derive("files")),
    )


def hub_clients(core: Core, passwords: Passwords | None = None) -> HubClientService:
    """The credentials of partners."""
    return HubClientService(
        core.db,
        passwords or Passwords(core.secret.derive("hub-passwords")),
        core.secret.derive("hub-keys"),
        on_key_ended=revocations(core).try_to_keep,
    )


def segments(core: Core) -> SegmentService:
    """Who is meant, and what goes by it."""
    return SegmentService(core.db, known_campaigns, [segment_uses])


def erasures(core: Core) -> ErasureService:
    """Erasing people, and what is known of erasures."""
    digests = Digests(core.secret.derive("erasures"))
    return ErasureService(core.db, digests, ErasureLog(core.storage, core.secret.derive("fingerprint")))


def person_exports(core: Core) -> ExportService:
    """All that is held of a person."""
    return ExportService(core.db, EntryService(core.db, core.look_up), reassemble)


def api_settings(core: Core) -> ApiSettings:
    """How the HTTP door takes requests in."""
    networks = [name.strip() for name in core.settings.trusted_proxies.split(",")]
    return ApiSettings(
        secret=core.secret.derive("cursors"),
        public_url=core.settings.public_url or "",
        trusted_proxies=tuple(ip_network(name) for name in networks if name),
        organisation_rate_per_s=core.settings.organisation_rate_per_s,
    )


def reach(settings: Settings) -> Reach:
    """Whether senders to real people may be switched on here."""
    return Reach(public_url=settings.public_url or "", outbound=outbound(settings))
