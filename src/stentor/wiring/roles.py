"""What a worker process does: its roles, put together from the core."""

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog

from stentor.accounts.directory import BrandDirectory
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.clock import Clock
from stentor.deliver.journal import Journal
from stentor.deliver.journals import Journals
from stentor.deliver.partitions import make_weeks
from stentor.executions.casting import Caster
from stentor.executions.facts import FactsSource
from stentor.executions.pipeline import Deliverer
from stentor.executions.planning import Planner
from stentor.executions.quieting import QuietSource
from stentor.integrations.clearance.service import Releaser
from stentor.integrations.listeners.delivery import NoticeDelivery
from stentor.integrations.listeners.posting import Poster
from stentor.integrations.listeners.telling import Teller
from stentor.integrations.meeting import MeetingTeller
from stentor.optouts.compaction.clearing import delete_replaced, forget_removals, sweep_machine, sweep_strangers
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.jobs.clearing import clear_jobs
from stentor.optouts.jobs.model import JobKind
from stentor.optouts.jobs.working import BEAT_S, JobRunner
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.scrubbing.runner import ScrubRunner
from stentor.queue.leases import Role
from stentor.wiring.chores import chores
from stentor.wiring.connectors import connector_role
from stentor.wiring.core import Core, data_directory, list_reserve, outbound, signing_secrets
from stentor.wiring.pulls import pull_service, watcher
from stentor.worker.caster import CasterRole
from stentor.worker.compactor import CompactorRole
from stentor.worker.connector import ConnectorRole
from stentor.worker.deliverer import DelivererRole, claims_at_once
from stentor.worker.keeper import Chore, KeeperRole
from stentor.worker.lister import ListerRole
from stentor.worker.loop import Bell
from stentor.worker.notifier import NotifierRole
from stentor.worker.planner import PlannerRole
from stentor.worker.remedier import RemedierRole
from stentor.worker.watcher import WatcherRole

log = structlog.get_logger(__name__)

_HOST_CHARS_MAX = 100


class WorkerRoles(msgspec.Struct, frozen=True):
    """The roles of one worker process, and what to close after them."""

    planner: PlannerRole
    caster: CasterRole
    deliverer: DelivererRole
    remedier: RemedierRole
    keeper: KeeperRole
    watcher: WatcherRole
    lister: ListerRole
    compactor: CompactorRole
    notifier: NotifierRole
    connector: ConnectorRole
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
        keeper=KeeperRole(Role(core.db, "keeper", name), chores(core)),
        watcher=WatcherRole(Role(core.db, "watcher", name), watcher(core)),
        lister=lister(core, name),
        compactor=CompactorRole(Role(core.db, "compactor", name), compactor(core), _storage_chores(core)),
        notifier=notifier(core),
        connector=connector_role(core),
        channels=channels,
    )


def notifier(core: Core) -> NotifierRole:
    """What tells listeners."""
    poster = Poster(outbound(core.settings))
    delivery = NoticeDelivery(core.db, signing_secrets(core), poster, sends_mail=core.settings.mail_url is not None)
    tellers = {
        "teller": Teller(core.db).tell,
        "meeting_teller": MeetingTeller(core.db, pull_service(core)).tell,
        "releaser": Releaser(core.db).release_due,
    }
    return NotifierRole(delivery, tellers, poster.aclose)


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
    return OpenChannels(core.db, core.sender_secrets, sandbox, outbound(core.settings))


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
