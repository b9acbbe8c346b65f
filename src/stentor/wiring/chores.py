"""What the keeper does again and again, and how often."""

from stentor.accounts.audit import forget_audit
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.letters import LetterKeeper
from stentor.accounts.limits import forget_windows
from stentor.accounts.mail import SmtpMailer
from stentor.accounts.sessions import forget_ended
from stentor.answers.service import forget_answers
from stentor.audience.anonymous import AnonymousKeeper
from stentor.audience.customer_events import drop_old_events, make_event_months
from stentor.audience.past import PastKeeper
from stentor.campaigns.sources import GeneratorSource
from stentor.campaigns.test_content import forget_test_contents
from stentor.channels.sandbox.model import InboxLimits
from stentor.channels.sandbox.pruning import prune_inboxes
from stentor.clock import Clock
from stentor.deliver.hour_buckets import forget_hour_buckets
from stentor.deliver.partitions import giving_way, make_weeks
from stentor.erasures.sweeping import sweep
from stentor.executions.ending import end_forgotten
from stentor.executions.experiments import ExperimentService
from stentor.executions.history import drop_history
from stentor.executions.provider_events import apply_due, forget_applied
from stentor.executions.service import start_due, sweep_expired
from stentor.executions.steps.following import write_waits
from stentor.executions.steps.starting import StepKeeper
from stentor.guard.contacts import ContactKeeper
from stentor.guard.store import forget_claims
from stentor.integrations.access import forget_tokens
from stentor.integrations.clearance.service import forget_clearances
from stentor.integrations.connector.runs import forget_runs
from stentor.integrations.listeners.days import DayTeller
from stentor.integrations.listeners.delivery import forget_notices
from stentor.integrations.listeners.telling import forget_told
from stentor.integrations.marks import forget_marks
from stentor.integrations.metrics.telling import forget_told_facts
from stentor.optouts.compaction.clearing import forget_old
from stentor.optouts.jobs.clearing import forget_jobs
from stentor.triggers.checking import CallChecker
from stentor.triggers.events import forget_events
from stentor.triggers.schedules.keeping import ScheduleKeeper
from stentor.triggers.schedules.targets import TargetChecker
from stentor.wiring.core import Core, account_links, accounts, base_url, campaign_checker, revocations
from stentor.wiring.pulls import pull_chores
from stentor.worker.keeper import Chore
from stentor.worker.retention import RetentionKeeper


def schedule_keeper(core: Core) -> ScheduleKeeper:
    """What lets schedules run."""
    checker = CallChecker(BrandDirectory(core.db), GeneratorSource(core.db, core.publications))
    return ScheduleKeeper(core.db, TargetChecker(checker, campaign_checker(core)))


def chores(core: Core) -> list[Chore]:
    """All that the keeper does, in the order in which it begins with them at its start."""
    db, days = core.db, core.settings.history_days
    schedules = schedule_keeper(core)
    steps = StepKeeper(db, core.publications)
    contacts = ContactKeeper(db)
    anonymous = AnonymousKeeper(db)
    retention = RetentionKeeper(db, accounts(core).brands, history_days=days)
    past = PastKeeper(db, days=days)
    return [
        # First: what comes in a week that has no partition lies in the catch-all for good.
        Chore("make_partitions", 3_600.0, lambda: make_weeks(db)),
        Chore("make_event_months", 3_600.0, lambda: make_event_months(db, giving_way, days=days)),
        Chore("drop_event_months", 600.0, lambda: drop_old_events(db, giving_way, days=days)),
        Chore("apply_provider_events", 1.0, lambda: apply_due(db)),
        Chore("prune_inboxes", 30.0, lambda: _prune_inboxes(core)),
        Chore("forget_provider_events", 600.0, lambda: forget_applied(db)),
        Chore("forget_told_facts", 600.0, lambda: forget_told_facts(db)),
        Chore("reckon_schedules", 3_600.0, schedules.reckon),
        Chore("run_schedules", 1.0, schedules.run_due),
        Chore("decide_experiments", 5.0, ExperimentService(db, core.publications).decide_due),
        Chore("start_due", 1.0, lambda: start_due(db)),
        Chore("write_waits", 1.0, lambda: write_waits(db)),
        Chore("start_steps", 1.0, steps.start_due),
        Chore("end_steps", 60.0, steps.end_over),
        Chore("sweep_expired", 1.0, lambda: sweep_expired(db)),
        Chore("end_forgotten", 5.0, lambda: end_forgotten(db)),
        *pull_chores(core),
        Chore("drop_history", 1.0, lambda: drop_history(db, days=days)),
        Chore("forget_test_contents", 3_600.0, lambda: forget_test_contents(db, days=days)),
        Chore("forget_by_settings", 60.0, retention.forget),
        Chore("forget_claims", 600.0, lambda: forget_claims(db)),
        Chore("forget_hour_buckets", 600.0, lambda: forget_hour_buckets(db)),
        Chore("forget_contacts", 60.0, lambda: _forget_contacts(core, contacts)),
        Chore("sweep_erasures", 1.0, lambda: sweep(db)),
        Chore("erase_anonymous", 600.0, lambda: _erase_anonymous(core, anonymous)),
        Chore("forget_past", 600.0, lambda: _forget_past(core, past)),
        Chore("forget_lists_past", 600.0, lambda: forget_old(db, days=days)),
        Chore("forget_jobs", 600.0, lambda: forget_jobs(db, days=days)),
        *_letters(core),
        Chore("tell_processed", 2.0, DayTeller(db).tell_processed),
        Chore("close_days", 5.0, DayTeller(db).close_days),
        Chore("forget_notices", 600.0, lambda: forget_notices(db)),
        Chore("forget_clearances", 3_600.0, lambda: forget_clearances(db)),
        Chore("forget_connector_runs", 3_600.0, lambda: forget_runs(db)),
        Chore("forget_told", 3_600.0, lambda: forget_told(db)),
        Chore("forget_signed_in", 600.0, lambda: forget_ended(db)),
        Chore("keep_revocations", 60.0, revocations(core).keep),
        Chore("forget_list_marks", 3_600.0, lambda: forget_marks(db)),
        Chore("forget_hub_tokens", 3_600.0, lambda: forget_tokens(db)),
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
