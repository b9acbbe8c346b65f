"""What the doors call: the services of the features, put together once in `stentor.wiring`."""

import msgspec

from stentor.accounts.audit import AuditLog
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.invitations import InvitationService
from stentor.accounts.keyring import KeyRing
from stentor.accounts.limits import RateLimiter
from stentor.accounts.service import AccountService
from stentor.accounts.test_recipients import TestRecipientService
from stentor.accounts.users import UserService
from stentor.api.spool import Spools
from stentor.audience.customer_events import CustomerEventService
from stentor.audience.customers import CustomerService
from stentor.audience.finding import PersonFinder
from stentor.audience.imports import ImportService
from stentor.audience.preferences import PreferenceService
from stentor.audience.profile_service import ProfileService
from stentor.audience.segments.service import SegmentService
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.tags import TagService
from stentor.audience.topics import TopicService
from stentor.campaigns.catalogue import CatalogueService
from stentor.campaigns.catalogue_shares import CatalogueShares
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.previews import PreviewService
from stentor.campaigns.publish_checks import PublishCheckService
from stentor.campaigns.service import CampaignService
from stentor.campaigns.template_checks import TemplateCheckService
from stentor.campaigns.template_fields import TemplateFieldService
from stentor.campaigns.templates import TemplateService
from stentor.channels.partners.callers import HubCallers
from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.content import PartnerContentService
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.service import SenderService
from stentor.db.pool import Database
from stentor.db.reserve import DiskReserve
from stentor.erasures.exporting import ExportService
from stentor.erasures.merging import MergeService
from stentor.erasures.service import ErasureService
from stentor.executions.experiments import ExperimentService
from stentor.executions.figures import FigureService
from stentor.executions.reaching import ReachService
from stentor.executions.service import ExecutionService
from stentor.executions.showing import MessageViews
from stentor.executions.timeline import TimelineService
from stentor.executions.today import TodayService
from stentor.integrations.access import HubAccess
from stentor.integrations.attributes import PartnerAttributes
from stentor.integrations.clearance.service import ClearanceService
from stentor.integrations.connector.receiving import Receiver
from stentor.integrations.connector.service import ConnectorService
from stentor.integrations.listeners.service import ListenerService
from stentor.integrations.marks import ListMarks
from stentor.integrations.metrics.interactions import InteractionService
from stentor.integrations.metrics.reported import ReportedService
from stentor.integrations.metrics.telling import FactService
from stentor.integrations.metrics.totals import TotalService
from stentor.integrations.numbers import NumberBook
from stentor.integrations.preferences import PartnerPreferences
from stentor.integrations.promotions import PromotionService
from stentor.integrations.pulls.service import PullService
from stentor.integrations.runs import RunBook
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.entry_service import EntryService
from stentor.optouts.jobs.service import JobService
from stentor.optouts.links import FileLinks
from stentor.optouts.lists import ListService
from stentor.optouts.shared_check import SharedCheck
from stentor.optouts.uploads import UploadService
from stentor.report.sender_health import SenderHealthService
from stentor.report.usage import UsageService
from stentor.triggers.batches.service import BatchService
from stentor.triggers.batches.streaming import StreamService
from stentor.triggers.calendar import CalendarService
from stentor.triggers.campaign_runs import CampaignRunner
from stentor.triggers.messages import MessageService
from stentor.triggers.schedules.service import ScheduleService
from stentor.triggers.sender_tests import SenderTestService
from stentor.triggers.service import TriggerService
from stentor.triggers.test_sends import TestSendService


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """One service per noun; handlers find them as `request.services`."""

    database: Database
    reserve: DiskReserve
    keys: KeyRing
    brands: BrandDirectory
    accounts: AccountService
    users: UserService
    invitations: InvitationService
    audit: AuditLog
    limiter: RateLimiter
    topics: TopicService
    customers: CustomerService
    finder: PersonFinder
    timelines: TimelineService
    reach: ReachService
    erasures: ErasureService
    person_exports: ExportService
    subscriptions: SubscriptionService
    preferences: PreferenceService
    profiles: ProfileService
    merges: MergeService
    tags: TagService
    imports: ImportService
    segments: SegmentService
    customer_events: CustomerEventService
    senders: SenderService
    sender_health: SenderHealthService
    sender_tests: SenderTestService
    usage: UsageService
    partner_channels: PartnerChannelService
    partner_content: PartnerContentService
    hub_clients: HubClientService
    connectors: ConnectorService
    connector_notices: Receiver
    hub_callers: HubCallers
    hub_access: HubAccess
    hub_numbers: NumberBook
    partner_runs: RunBook
    list_marks: ListMarks
    partner_preferences: PartnerPreferences
    partner_attributes: PartnerAttributes
    promotions: PromotionService
    spools: Spools
    templates: TemplateService
    previews: PreviewService
    template_checks: TemplateCheckService
    template_fields: TemplateFieldService
    campaigns: CampaignService
    publish_checks: PublishCheckService
    campaign_runs: CampaignRunner
    test_recipients: TestRecipientService
    test_sends: TestSendService
    generators: GeneratorService
    catalogue: CatalogueService
    catalogue_shares: CatalogueShares
    triggers: TriggerService
    messages: MessageService
    calendar: CalendarService
    schedules: ScheduleService
    batches: BatchService
    streams: StreamService
    executions: ExecutionService
    today: TodayService
    figures: FigureService
    message_views: MessageViews
    pulls: PullService
    experiments: ExperimentService
    inbox: InboxService
    totals: TotalService
    interactions: InteractionService
    partner_facts: FactService
    reported: ReportedService
    optout_lists: ListService
    optout_entries: EntryService
    optout_checks: BulkCheck
    optout_shared_checks: SharedCheck
    optout_jobs: JobService
    optout_uploads: UploadService
    clearances: ClearanceService
    listeners: ListenerService
    file_links: FileLinks
