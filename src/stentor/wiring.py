"""The composition root: settings → database → services and roles. Only `stentor.doors`, on top of it, knows more."""

import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import msgspec
import structlog

from stentor.accounts.attempts import Attempts
from stentor.accounts.audit import AuditLog, forget_audit
from stentor.accounts.devices import Devices
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.installation import SECRET_FILE, InstallationSecret, check_installation
from stentor.accounts.invitations import InvitationService
from stentor.accounts.joining import JoiningService
from stentor.accounts.keyring import KeyRing
from stentor.accounts.letters import LetterKeeper
from stentor.accounts.limits import RateLimiter, forget_windows
from stentor.accounts.mail import SmtpMailer
from stentor.accounts.oidc import OidcClient, OidcSettings
from stentor.accounts.passwords import Passwords
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.service import AccountService
from stentor.accounts.sessions import SessionService, forget_ended
from stentor.accounts.sign_in import SignInService
from stentor.accounts.test_recipients import TestRecipientService
from stentor.accounts.users import UserService
from stentor.answers.service import forget_answers
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.audience.anonymous import AddressNames, AnonymousKeeper
from stentor.audience.customer_events import CustomerEventService, drop_event_month, make_event_months
from stentor.audience.customers import CustomerService
from stentor.audience.imports import ImportService
from stentor.audience.past import PastKeeper
from stentor.audience.preferences import PreferenceService
from stentor.audience.profile_service import ProfileService
from stentor.audience.segments.service import SegmentService
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.tags import TagService
from stentor.audience.topics import TopicService, known_topics
from stentor.backups.revocations import RevocationKeeper, RevocationLog
from stentor.campaigns.compose import CampaignRenderers
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.known import known_campaigns
from stentor.campaigns.previews import PreviewService
from stentor.campaigns.service import CampaignService
from stentor.campaigns.sources import CampaignSource, GeneratorSource, PublicationSource
from stentor.campaigns.templates import TemplateService
from stentor.campaigns.test_content import forget_test_contents
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.outbound import Outbound
from stentor.channels.public_address import Reach
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.inbox import InboxService
from stentor.channels.sandbox.model import InboxLimits
from stentor.channels.sandbox.pruning import prune_inboxes
from stentor.channels.secrets import SecretBox
from stentor.channels.service import SenderService, ensure_sandbox
from stentor.clock import Clock
from stentor.db.home import Home
from stentor.db.locate import default_data_directory
from stentor.db.pool import STANDS_STILL, Database
from stentor.db.reserve import DiskReserve
from stentor.deliver.hour_buckets import forget_hour_buckets
from stentor.deliver.journal import Journal
from stentor.deliver.journals import Journals
from stentor.deliver.partitions import giving_way, make_weeks
from stentor.domain.hosts import url_of
from stentor.domain.ids import SendIds
from stentor.domain.links import LinkSigner
from stentor.erasures.exporting import ExportService
from stentor.erasures.log import ErasureLog
from stentor.erasures.merging import MergeService
from stentor.erasures.model import Digests
from stentor.erasures.service import ErasureService
from stentor.erasures.sweeping import sweep
from stentor.executions.casting import Caster
from stentor.executions.composing import Composer
from stentor.executions.ending import end_forgotten
from stentor.executions.experiments import ExperimentService
from stentor.executions.facts import FactsSource
from stentor.executions.history import drop_history
from stentor.executions.pipeline import Deliverer
from stentor.executions.planning import Planner
from stentor.executions.provider_events import apply_due, forget_applied
from stentor.executions.quieting import QuietSource
from stentor.executions.service import ExecutionService, start_due, sweep_expired
from stentor.executions.steps.following import write_waits
from stentor.executions.steps.starting import StepKeeper
from stentor.guard.contacts import ContactKeeper
from stentor.guard.store import forget_claims
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.compaction.clearing import (
    delete_replaced,
    forget_old,
    forget_removals,
    sweep_machine,
    sweep_strangers,
)
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.entry_service import EntryService
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.jobs.clearing import clear_jobs, forget_jobs
from stentor.optouts.jobs.model import JobKind
from stentor.optouts.jobs.service import JobService
from stentor.optouts.jobs.working import BEAT_S, JobRunner
from stentor.optouts.links import FileLinks
from stentor.optouts.lists import ListService
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.look_up import LookUp
from stentor.optouts.object_storage import ObjectStorage
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.scrubbing.runner import ScrubRunner
from stentor.optouts.service import ensure_builtin
from stentor.optouts.shared_check import SharedCheck
from stentor.optouts.storage import DirectoryStorage, Storage
from stentor.optouts.uploads import UploadService
from stentor.queue.leases import Role
from stentor.render.deadline import PreviewProcess
from stentor.render.skeleton import reassemble
from stentor.settings import Settings
from stentor.triggers.batches.service import BatchService, awaited_tag
from stentor.triggers.batches.streaming import StreamService, stream_ended
from stentor.triggers.campaign_runs import CampaignChecker, CampaignRunner
from stentor.triggers.checking import CallChecker
from stentor.triggers.events import forget_events
from stentor.triggers.messages import MessageService
from stentor.triggers.schedules.keeping import ScheduleKeeper
from stentor.triggers.schedules.service import ScheduleService
from stentor.triggers.schedules.targets import TargetChecker
from stentor.triggers.service import TriggerService
from stentor.triggers.test_sends import TestSendService
from stentor.triggers.uses import needed_tag, segment_uses
from stentor.worker.caster import CasterRole
from stentor.worker.compactor import CompactorRole
from stentor.worker.deliverer import DelivererRole, claims_at_once
from stentor.worker.keeper import Chore, KeeperRole
from stentor.worker.lister import ListerRole
from stentor.worker.loop import Bell
from stentor.worker.planner import PlannerRole
from stentor.worker.remedier import RemedierRole
from stentor.worker.retention import RetentionKeeper

log = structlog.get_logger(__name__)

LISTS_DIRECTORY = "lists"
"""Below the data directory: the files of opt-out lists."""

_HOST_CHARS_MAX = 100


class Core(msgspec.Struct, frozen=True):
    """What every process has: the database, the installation's secret, and what is read from both."""

    settings: Settings
    db: Database
    secret: InstallationSecret
    publications: PublicationSource
    composer: Composer
    sender_secrets: SecretBox
    send_ids: SendIds
    preview_process: PreviewProcess
    links: LinkSigner
    storage: Storage
    look_up: LookUp


def data_directory(settings: Settings) -> Path:
    """Where this installation keeps its files."""
    return settings.data or default_data_directory()


def installation_secret(settings: Settings) -> InstallationSecret:
    """The secret that was set, or the one in the data directory, made at the first start. Raises SecretRefused."""
    if settings.secret is not None:
        return InstallationSecret.from_text(settings.secret.get_secret_value())
    return InstallationSecret.from_file(data_directory(settings) / SECRET_FILE)


@asynccontextmanager
async def core(
    settings: Settings,
    dsn: str,
    *,
    role: str,
    size: int,
    shift: timedelta = timedelta(),
    stands_still: timedelta = STANDS_STILL,
) -> AsyncIterator[Core]:
    """The core of one process, its database open for the length of the block.

    Raises Unavailable when the database does not answer, SecretRefused when it was made with another secret.
    """
    secret = installation_secret(settings)
    db = Database(
        dsn,
        size=size,
        shift=shift,
        prepared=settings.database_prepared,
        application_name=f"stentor {role}",
        stands_still=stands_still,
        fingerprint_key=secret.derive("fingerprints-in-the-audit-log"),
    )
    storage = list_storage(settings)
    with closing(PreviewProcess()) as preview_process:
        async with aclosing(Indexes(storage)) as indexes, db:
            await check_installation(db, secret)
            send_ids = SendIds(secret.derive("send-ids"))
            publications = PublicationSource(db)
            links = LinkSigner(secret.derive("links"))
            yield Core(
                settings=settings,
                db=db,
                secret=secret,
                publications=publications,
                composer=Composer(CampaignRenderers(), send_ids, links, base_url(settings)),
                sender_secrets=SecretBox(secret.derive("credentials")),
                send_ids=send_ids,
                links=links,
                preview_process=preview_process,
                storage=storage,
                look_up=LookUp(indexes),
            )


def list_storage(settings: Settings) -> Storage:
    """Where the files of opt-out lists lie. Raises StorageRefused for a URL that names no storage."""
    place = data_directory(settings) / LISTS_DIRECTORY
    if settings.storage_url is None:
        return DirectoryStorage(place)
    return ObjectStorage.at(settings.storage_url, place, cache_bytes=settings.storage_cache_bytes)


def list_reserve(settings: Settings) -> DiskReserve:
    """What is kept free beside the files of opt-out lists, and what is being made of them, on this machine's disk."""
    place = data_directory(settings) / LISTS_DIRECTORY
    return DiskReserve([place], settings.min_free_bytes, what="opt-out list")


def accounts(core: Core) -> AccountService:
    """Organisations, brands and keys; a new brand gets its built-in opt-out list and its sandbox senders."""
    return AccountService(
        core.db,
        core.secret.derive("pepper"),
        on_brand_created=[ensure_builtin, ensure_sandbox],
        on_key_revoked=revocations(core).try_to_keep,
    )


def revocations(core: Core) -> RevocationKeeper:
    """What keeps revocations of keys outside of the database."""
    return RevocationKeeper(core.db, RevocationLog(core.storage, core.secret))


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
    attempts = Attempts(core.db, core.secret.derive("attempts"))
    sessions = SessionService(core.db, core.secret.derive("sessions"))
    factors = SecondFactors(core.db, attempts, clock, key=core.secret.derive("second-factors"))
    invitations = InvitationService(core.db, links, attempts, sends_mail=sends_mail)
    devices = Devices(core.secret.derive("devices"), clock)
    passwords = Passwords(core.secret.derive("passwords"))
    return PeopleAccounts(
        users=UserService(core.db),
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


def account_links(core: Core) -> LinkTokens:
    """The secret parts of links of invitations and of forgotten passwords."""
    return LinkTokens(core.secret.derive("account-links"))


def base_url(settings: Settings) -> str:
    """What links to pages of this installation begin with."""
    return settings.public_url or url_of(settings.host, settings.port)


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
    return Services(
        database=core.db,
        reserve=disk_reserve(core.settings),
        keys=KeyRing(core.db, core.secret.derive("pepper")),
        brands=brands,
        accounts=accounts(core),
        users=people.users,
        invitations=people.invitations,
        audit=AuditLog(core.db),
        limiter=RateLimiter(core.db),
        customers=CustomerService(core.db),
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
        customer_events=CustomerEventService(core.db, clock, days=core.settings.history_days),
        senders=SenderService(core.db, core.sender_secrets, reach(core.settings)),
        templates=TemplateService(core.db),
        previews=previews,
        campaigns=CampaignService(core.db),
        campaign_runs=CampaignRunner(core.db, campaigns, executions, clock=clock),
        generators=GeneratorService(core.db),
        executions=executions,
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
            core.db, account_links(core), sends_mail=core.settings.mail_url is not None
        ),
        test_sends=TestSendService(core.db, brands, previews, executions, send_ids=core.send_ids, names=names),
        batches=batches,
        streams=StreamService(core.db, batches),
        schedules=ScheduleService(core.db, TargetChecker(CallChecker(brands, generators), campaigns), executions),
        inbox=InboxService(core.db, core.send_ids, reassemble),
        optout_lists=ListService(core.db, {"campaigns": known_campaigns, "topics": known_topics}),
        optout_entries=EntryService(core.db, core.look_up),
        optout_checks=BulkCheck(core.db, core.look_up),
        optout_shared_checks=SharedCheck(core.db, core.look_up),
        optout_jobs=JobService(core.db, core.storage),
        optout_uploads=UploadService(core.db, core.storage, list_reserve(core.settings)),
        file_links=FileLinks(core.secret.derive("files")),
    )


def segments(core: Core) -> SegmentService:
    """Who is meant, and what goes by it."""
    return SegmentService(core.db, known_campaigns, [segment_uses])


def imports(core: Core) -> ImportService:
    """Imports of people, of what they chose, and of what happened to them."""
    return ImportService(
        core.db,
        disk_reserve(core.settings),
        endings={"profiles": stream_ended},
        event_days=core.settings.history_days,
    )


def erasures(core: Core) -> ErasureService:
    """Erasing people, and what is known of erasures."""
    digests = Digests(core.secret.derive("erasures"))
    return ErasureService(core.db, digests, ErasureLog(core.storage, core.secret.derive("fingerprint")))


def person_exports(core: Core) -> ExportService:
    """All that is held of a person."""
    return ExportService(core.db, EntryService(core.db, core.look_up), reassemble)


def disk_reserve(settings: Settings) -> DiskReserve:
    """What is kept free for the embedded database; of another one's disk nothing is known here."""
    if settings.database_url:
        return DiskReserve([], settings.min_free_bytes)
    return DiskReserve.of_cluster(Home(data_directory(settings)).cluster, settings.min_free_bytes)


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
    return Reach(public_url=settings.public_url or "", outbound=_outbound(settings))


def _outbound(settings: Settings) -> Outbound:
    return Outbound(allow_loopback=settings.allow_loopback, allow_private_networks=settings.allow_private_networks)


class WorkerRoles(msgspec.Struct, frozen=True):
    """The roles of one worker process, and what to close after them."""

    planner: PlannerRole
    caster: CasterRole
    deliverer: DelivererRole
    remedier: RemedierRole
    keeper: KeeperRole
    lister: ListerRole
    compactor: CompactorRole
    channels: OpenChannels


def worker_name() -> str:
    """This process's, after its machine; no other process ever has the same."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:_HOST_CHARS_MAX].lstrip(".-")
    return f"{host or 'host'}:{os.getpid()}:{secrets.token_hex(3)}"


@contextmanager
def worker_journal(core: Core, worker: str) -> Iterator[Journal | None]:
    """This worker's journal for the length of the block; None, told loudly, where the data directory can hold none.

    It sends all the same: without a journal a killed worker leaves its open waves in doubt, which is better than silence.
    """
    data = data_directory(core.settings)
    try:
        journal = journals(core).open(worker, waves=claims_at_once(core.settings.claims))
    except OSError as error:
        log.warning(
            "journal.missing",
            why=str(error),
            consequence="if this worker is killed, all messages of its open waves are in doubt",
            what_next=f"make room in {data}, or let this account write there, and start the worker again",
        )
        yield None
        return
    try:
        yield journal
    finally:
        journal.close()


async def make_partitions(core: Core) -> None:
    """Makes the weeks to come where they are missing: before anything is planned into a week that has no partition."""
    await make_weeks(core.db)


async def tidy_journals(core: Core) -> None:
    """Removes the journals of dead workers that nobody needs any more."""
    try:
        await journals(core).tidy(core.db)
    except OSError as error:
        log.warning("journals.untidy", why=str(error))


def journals(core: Core) -> Journals:
    """The journals of the workers that share this data directory."""
    return Journals(data_directory(core.settings))


def worker_roles(core: Core, name: str, journal: Journal | None) -> WorkerRoles:
    """The roles of the worker process of that name."""
    due = Bell()
    channels = open_channels(core)
    planning = planner(core)
    return WorkerRoles(
        planner=PlannerRole(planning, planned=due),
        caster=CasterRole(caster(core)),
        deliverer=DelivererRole(
            deliverer(core, channels, name, journal=journal),
            slots=core.settings.claims,
            due=due,
            bulk_waits=planning.goes_first,
        ),
        remedier=RemedierRole(core.db, due=due),
        keeper=KeeperRole(Role(core.db, "keeper", name), _chores(core)),
        lister=lister(core, name),
        compactor=CompactorRole(Role(core.db, "compactor", name), compactor(core), _storage_chores(core)),
        channels=channels,
    )


def lister(core: Core, worker: str, *, beat_s: float = BEAT_S) -> ListerRole:
    """What works on files of opt-out lists, under that worker's name."""
    tidying = Chore("sweep_machine", 3_600.0, lambda: sweep_machine(core.db, core.storage))
    return ListerRole(core.db, worker, list_runners(core), core.storage.work, beat_s=beat_s, chores=[tidying])


def list_runners(core: Core) -> dict[JobKind, JobRunner]:
    """What works on files of opt-out lists, by the kind of job."""
    reserve = list_reserve(core.settings)
    runners: list[JobRunner] = [
        ImportRunner(core.db, core.storage, reserve),
        ExportRunner(core.db, core.storage, reserve),
        ScrubRunner(core.db, core.storage, reserve),
    ]
    return {runner.kind: runner for runner in runners}


def compactor(core: Core) -> Compactor:
    """What keeps the files of opt-out lists few."""
    return Compactor(core.db, core.storage, min_free_bytes=core.settings.min_free_bytes)


def _storage_chores(core: Core) -> list[Chore]:
    return [
        Chore("delete_replaced", 60.0, lambda: delete_replaced(core.db, core.storage)),
        Chore("forget_removals", 3_600.0, lambda: forget_removals(core.db)),
        Chore("clear_jobs", 10.0, lambda: clear_jobs(core.db, core.storage)),
        Chore("sweep_strangers", 21_600.0, lambda: sweep_strangers(core.db, core.storage)),
    ]


def open_channels(core: Core) -> OpenChannels:
    """The channels of one process; to be closed by it."""
    sandbox = SandboxChannel(core.db, ChaosSource(core.db))
    return OpenChannels(core.db, core.sender_secrets, sandbox, _outbound(core.settings))


def planner(core: Core) -> Planner:
    """What turns queued executions into sends."""
    return Planner(core.db, core.publications, QuietSource(BrandDirectory(core.db)))


def caster(core: Core) -> Caster:
    """What fixes the people of executions that wait for it."""
    return Caster(core.db, core.publications)


def deliverer(core: Core, channels: OpenChannels, worker: str, *, journal: Journal | None = None) -> Deliverer:
    """What takes claims from due to settled, under that worker's name."""
    brands = BrandDirectory(core.db)
    return Deliverer(
        core.db,
        brands=brands,
        senders=SenderSource(core.db),
        channels=channels,
        facts=FactsSource(core.publications),
        composer=core.composer,
        quiet=QuietSource(brands),
        look_up=core.look_up,
        clock=Clock(core.db.shift),
        worker=worker,
        journals=journals(core),
        journal=journal,
    )


def schedule_keeper(core: Core) -> ScheduleKeeper:
    """What lets schedules run."""
    checker = CallChecker(BrandDirectory(core.db), GeneratorSource(core.db, core.publications))
    return ScheduleKeeper(core.db, TargetChecker(checker, campaign_checker(core)))


def campaign_checker(core: Core) -> CampaignChecker:
    """What says whether campaigns that are published themselves may run."""
    return CampaignChecker(BrandDirectory(core.db), CampaignSource(core.db, core.publications))


def _chores(core: Core) -> list[Chore]:
    db = core.db
    schedules = schedule_keeper(core)
    steps = StepKeeper(db, core.publications)
    contacts = ContactKeeper(db)
    anonymous = AnonymousKeeper(db)
    retention = RetentionKeeper(db, accounts(core).brands, history_days=core.settings.history_days)
    past = PastKeeper(db, days=core.settings.history_days)
    return [
        # First: what comes in a week that has no partition lies in the catch-all for good.
        Chore("make_partitions", 3_600.0, lambda: make_weeks(db)),
        Chore("make_event_months", 3_600.0, lambda: make_event_months(db, giving_way)),
        Chore("drop_event_months", 600.0, lambda: _drop_event_month(core)),
        Chore("apply_provider_events", 1.0, lambda: apply_due(db)),
        Chore("prune_inboxes", 30.0, lambda: _prune_inboxes(core)),
        Chore("forget_provider_events", 600.0, lambda: forget_applied(db)),
        Chore("reckon_schedules", 3_600.0, schedules.reckon),
        Chore("run_schedules", 1.0, schedules.run_due),
        Chore("decide_experiments", 5.0, ExperimentService(db, core.publications).decide_due),
        Chore("start_due", 1.0, lambda: start_due(db)),
        Chore("write_waits", 1.0, lambda: write_waits(db)),
        Chore("start_steps", 1.0, steps.start_due),
        Chore("end_steps", 60.0, steps.end_over),
        Chore("sweep_expired", 1.0, lambda: sweep_expired(db)),
        Chore("end_forgotten", 5.0, lambda: end_forgotten(db)),
        Chore("drop_history", 1.0, lambda: drop_history(db, days=core.settings.history_days)),
        Chore("forget_test_contents", 3_600.0, lambda: forget_test_contents(db, days=core.settings.history_days)),
        Chore("forget_by_settings", 60.0, retention.forget),
        Chore("forget_claims", 600.0, lambda: forget_claims(db)),
        Chore("forget_hour_buckets", 600.0, lambda: forget_hour_buckets(db)),
        Chore("forget_contacts", 60.0, lambda: _forget_contacts(core, contacts)),
        Chore("sweep_erasures", 1.0, lambda: sweep(db)),
        Chore("erase_anonymous", 600.0, lambda: _erase_anonymous(core, anonymous)),
        Chore("forget_past", 600.0, lambda: _forget_past(core, past)),
        Chore("forget_lists_past", 600.0, lambda: forget_old(db, days=core.settings.history_days)),
        Chore("forget_jobs", 600.0, lambda: forget_jobs(db, days=core.settings.history_days)),
        *_letters(core),
        Chore("forget_signed_in", 600.0, lambda: forget_ended(db)),
        Chore("keep_revocations", 60.0, revocations(core).keep),
        Chore("forget_windows", 3_600.0, lambda: forget_windows(db)),
        Chore("forget_audit", 3_600.0, lambda: forget_audit(db, days=core.settings.audit_days)),
        Chore("forget_answers", 600.0, lambda: forget_answers(db)),
        Chore("forget_events", 600.0, lambda: forget_events(db)),
    ]


def _letters(core: Core) -> list[Chore]:
    """The installation's own letters, where it has a sender of its own."""
    url, sender = core.settings.mail_url, core.settings.mail_from
    if url is None or sender is None:
        return []
    mailer = SmtpMailer(url.get_secret_value(), sender, Clock(core.db.shift))
    keeper = LetterKeeper(core.db, mailer, account_links(core), base_url(core.settings))
    return [Chore("send_letters", 1.0, keeper.send_due)]


async def _drop_event_month(core: Core) -> int:
    return await giving_way(core.db, lambda conn: drop_event_month(conn, core.settings.history_days))


async def _prune_inboxes(core: Core) -> int:
    brands = await accounts(core).brands()
    limits = {
        brand.id: InboxLimits(brand.settings.sandbox_messages_max, brand.settings.sandbox_days) for brand in brands
    }
    return await prune_inboxes(core.db, limits)


async def _forget_contacts(core: Core, contacts: ContactKeeper) -> int:
    return await contacts.forget([brand.id for brand in await accounts(core).brands()])


async def _erase_anonymous(core: Core, anonymous: AnonymousKeeper) -> int:
    return await anonymous.erase([brand.id for brand in await accounts(core).brands()])


async def _forget_past(core: Core, past: PastKeeper) -> int:
    return await past.forget([brand.id for brand in await accounts(core).brands()])
