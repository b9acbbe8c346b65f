"""Stentor as the service: what joins hubs, hears of their campaigns, and executes them."""

from datetime import timedelta

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.sealing import LinkTokens
from stentor.channels.secrets import SecretBox
from stentor.executions.quieting import QuietSource
from stentor.executions.service import ExecutionService
from stentor.integrations.connector.hearing import Ear
from stentor.integrations.connector.model import PAGE_ROWS
from stentor.integrations.connector.opening import HubOpener
from stentor.integrations.connector.pulling import Puller
from stentor.integrations.connector.pushing import Pusher
from stentor.integrations.connector.receiving import Receiver
from stentor.integrations.connector.runs import LEASE
from stentor.integrations.connector.service import ConnectorService
from stentor.integrations.connector.starting import Starter
from stentor.integrations.connector.syncing import Syncer
from stentor.integrations.connector.working import RunWorker
from stentor.wiring.core import Core, base_url, outbound
from stentor.worker.connector import ConnectorRole


def connector_service(core: Core) -> ConnectorService:
    """What sets connectors up."""
    return ConnectorService(core.db, _box(core), outbound(core.settings), hub_opener(core))


def receiver(core: Core) -> Receiver:
    """What hubs' notices come to."""
    return Receiver(core.db, connector_links(core))


def hub_opener(core: Core) -> HubOpener:
    """What opens conversations with hubs."""
    return HubOpener(_box(core), outbound(core.settings))


def connector_role(core: Core) -> ConnectorRole:
    """What joins hubs and executes their campaigns."""
    opener = hub_opener(core)
    syncer = Syncer(core.db, opener, connector_links(core), base_url(core.settings))
    return ConnectorRole(syncer, run_worker(core, opener))


def run_worker(core: Core, opener: HubOpener, *, lease: timedelta = LEASE, page_rows: int = PAGE_ROWS) -> RunWorker:
    """What takes the steps of hubs' campaigns."""
    brands = BrandDirectory(core.db)
    executions = ExecutionService(
        core.db,
        core.publications,
        core.composer,
        QuietSource(brands),
        core.look_up,
        history_days=core.settings.history_days,
    )
    return RunWorker(
        core.db,
        opener,
        puller=Puller(core.db, brands, lease, page_rows=page_rows),
        ear=Ear(core.db),
        starter=Starter(core.db, core.publications, executions),
        pusher=Pusher(core.db),
        lease=lease,
    )


def _box(core: Core) -> SecretBox:
    return SecretBox(core.secret.derive("connectors"))


def connector_links(core: Core) -> LinkTokens:
    """The unguessable parts of the addresses at which hubs notify us."""
    return LinkTokens(core.secret.derive("connector-hooks"))
