"""What every process has, and what more than one of its parts is made of: settings → database, secret, storage, accounts."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.installation import SECRET_FILE, InstallationSecret, check_installation
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.service import AccountService
from stentor.audience.imports import ImportService
from stentor.backups.revocations import RevocationKeeper, RevocationLog
from stentor.campaigns.compose import CampaignRenderers
from stentor.campaigns.sources import CampaignSource, PublicationSource
from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.channels.service import ensure_sandbox
from stentor.db.home import Home
from stentor.db.locate import default_data_directory
from stentor.db.pool import STANDS_STILL, Database
from stentor.db.reserve import DiskReserve
from stentor.domain.hosts import url_of
from stentor.domain.ids import SendIds
from stentor.domain.links import LinkSigner
from stentor.executions.composing import Composer
from stentor.integrations.listeners.signing_secrets import SigningSecrets
from stentor.optouts.look_up import LookUp
from stentor.optouts.object_storage import ObjectStorage
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.service import ensure_builtin
from stentor.optouts.storage import DirectoryStorage, Storage
from stentor.render.deadline import PreviewProcess
from stentor.settings import Settings
from stentor.triggers.batches.streaming import stream_ended
from stentor.triggers.campaign_runs import CampaignChecker

LISTS_DIRECTORY = "lists"
"""Below the data directory: the files of opt-out lists."""


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


def account_links(core: Core) -> LinkTokens:
    """The secret parts of links of invitations and of forgotten passwords."""
    return LinkTokens(core.secret.derive("account-links"))


def signing_secrets(core: Core) -> SigningSecrets:
    """What notices to listeners are signed with."""
    return SigningSecrets(core.secret.derive("notices"))


def base_url(settings: Settings) -> str:
    """What links to pages of this installation begin with."""
    return settings.public_url or url_of(settings.host, settings.port)


def imports(core: Core) -> ImportService:
    """Imports of people, of what they chose, and of what happened to them."""
    return ImportService(
        core.db,
        disk_reserve(core.settings),
        endings={"profiles": stream_ended},
        event_days=core.settings.history_days,
    )


def disk_reserve(settings: Settings) -> DiskReserve:
    """What is kept free for the embedded database; of another one's disk nothing is known here."""
    if settings.database_url:
        return DiskReserve([], settings.min_free_bytes)
    return DiskReserve.of_cluster(Home(data_directory(settings)).cluster, settings.min_free_bytes)


def outbound(settings: Settings) -> Outbound:
    """Where connections of ours may lead."""
    return Outbound(allow_loopback=settings.allow_loopback, allow_private_networks=settings.allow_private_networks)


def campaign_checker(core: Core) -> CampaignChecker:
    """What says whether campaigns that are published themselves may run."""
    return CampaignChecker(BrandDirectory(core.db), CampaignSource(core.db, core.publications))
