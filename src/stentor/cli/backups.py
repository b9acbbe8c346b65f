"""Backups from the command line: taking one, restoring it, and letting the restored copy go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stentor.accounts.installation import SECRET_FILE, InstallationSecret
from stentor.backups.erasure_log import read_log, read_log_again
from stentor.backups.fence import Copy
from stentor.backups.fence import resume as let_go
from stentor.backups.files import check_room, shown
from stentor.backups.model import Manifest
from stentor.backups.programs import Programs
from stentor.backups.restoring import look_at, restore, secret_to_write
from stentor.backups.revocations import Again, read_revocations, read_revocations_again
from stentor.backups.taking import Secret, take
from stentor.cli.database import within
from stentor.cli.installation import check_is_there, with_core
from stentor.cli.output import print_json, say
from stentor.db.binaries import find_binaries
from stentor.db.pool import Database
from stentor.erasures.replaying import Replayed
from stentor.log import set_up_logging
from stentor.optouts.presence import ListFile, absent_files
from stentor.optouts.storage import DirectoryStorage
from stentor.settings import Settings
from stentor.wiring.core import Core, data_directory, installation_secret, list_storage

_FILES_NAMED = 20


def take_backup(given: Mapping[str, Any], target: Path, *, without_secret: bool, as_json: bool) -> None:
    """Writes a backup to that new directory and says what it is."""
    settings = Settings(**given)
    check_is_there(settings)
    binaries = find_binaries(settings.postgres_bin)
    secret = installation_secret(settings)
    is_kept_apart = without_secret or settings.secret is not None
    text = None if is_kept_apart else (data_directory(settings) / SECRET_FILE).read_bytes()

    async def main(dsn: str) -> Manifest:
        storage = list_storage(settings)
        return await take(Programs(binaries, dsn), target, Secret(secret, text), storage=storage, progress=say)

    manifest = within(_past_pooler(settings), main)
    if as_json:
        print_json({"backup": str(target), "manifest": manifest})
        return
    say(f"The backup of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC is in {target}: {shown(manifest.dump_bytes)}.")
    if manifest.list_files:
        say(_lists_of(manifest))
    if manifest.has_secret:
        say(
            "The installation's secret is in it: whoever can read the backup can forge keys and read senders' passwords."
        )
    else:
        say("The installation's secret is NOT in it. Without it this backup cannot be restored: keep it, apart.")


def restore_backup(given: Mapping[str, Any], path: Path, *, erasures: Path | None, as_json: bool) -> None:
    """Restores that backup into an empty database and says how to go on."""
    settings = Settings(**given)
    set_up_logging("error", settings.log_format)
    binaries = find_binaries(settings.postgres_bin)
    source = look_at(path)
    data = data_directory(settings)
    set_here = InstallationSecret.from_text(settings.secret.get_secret_value()) if settings.secret else None
    secret = secret_to_write(source, set_here, data / SECRET_FILE)
    if settings.database_url is None:
        needed_bytes = source.manifest.database_bytes + (source.manifest.list_bytes if source.manifest.has_lists else 0)
        check_room(data, needed_bytes, "the restored database")
    storage = list_storage(settings)
    # Looked for and not made: a mistyped directory has no log.
    elsewhere = None if erasures is None else DirectoryStorage(erasures)

    async def main(dsn: str) -> tuple[Copy, Replayed, Again, list[ListFile]]:
        programs = Programs(binaries, dsn)
        restored = await restore(
            programs, source, secret=secret, secret_file=data / SECRET_FILE, storage=storage, progress=say
        )
        async with Database(dsn, size=2, application_name="stentor restore") as db:
            say("erasing again who was erased since")
            replayed = await read_log(db, path, installation_secret(settings), storage, elsewhere)
            say("revoking again what was revoked since")
            again = await read_revocations(db, installation_secret(settings), storage, elsewhere)
            async with db.read() as conn:
                return restored, replayed, again, await absent_files(conn, storage)

    copy, replayed, again, absent = within(_past_pooler(settings), main)
    if as_json:
        missing = [{"list": file.list, "file": file.name, "bytes": file.bytes} for file in absent]
        told = {"backup_at": source.manifest.taken_at, "paused": True, "executions_paused": copy.executions_paused}
        erased = {"erasure_log_found": replayed.found, "erased_again": replayed.erased}
        revoked = {"revocation_log_found": again.found, "revoked_again": again.revoked}
        print_json({**told, **erased, **revoked, "missing_files": missing})
        return
    say(
        f"Restored the backup of {source.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC. This copy is paused: it sends nothing.\n"
        f"{_caught(copy)}{_erased(replayed)}{_revoked(again)}{_missed(absent)}"
        "When the installation that was backed up is off for good, let this one go: stentor resume"
    )


def resume_copy(given: Mapping[str, Any], *, without_erasures: bool, without_revocations: bool, as_json: bool) -> None:
    """Lets a restored copy go and says what stays paused in it."""
    set_up_logging("error", "auto")

    async def act(core: Core) -> Copy:
        await read_log_again(core.db, core.secret, core.storage)
        await read_revocations_again(core.db, core.secret, core.storage)
        return await let_go(core.db, without_erasures=without_erasures, without_revocations=without_revocations)

    copy = with_core(given, act)
    if as_json:
        print_json({"paused": False, "executions_paused": copy.executions_paused})
    else:
        say(f"This installation works from now on.\n{_caught(copy)}".rstrip())


def _past_pooler(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": settings.database_direct_url or settings.database_url})


def _caught(copy: Copy) -> str:
    if not copy.executions_paused:
        return ""
    return (
        f"{copy.executions_paused} executions were under way when the backup was taken. They stay paused: how far they came"
        " afterwards is not known here. Resume or cancel each: POST /v1/groups/{group}/executions/{id}/resume or …/cancel\n"
        "Where one has ended and its experiment was still to find a winner, choose it: POST …/experiment/winner or …/cancel\n"
    )


def _erased(replayed: Replayed) -> str:
    if not replayed.found:
        return (
            "THE LOG OF ERASURES IS MISSING: people may be back in this copy who were erased after the backup. Put the folder"
            " `erasures` of the old installation's lists directory into this one's (stentor restore --erasures does so), and it"
            " is read before this copy is let go. Without it `stentor resume` wants --without-erasures.\n"
        )
    if not replayed.erased:
        return "Nobody is back who was erased after the backup.\n"
    return f"Erased again, because they were erased after the backup: {replayed.erased:,} people.\n"


def _revoked(again: Again) -> str:
    ended = "Whoever had signed in signs in again; invitations and links to choose a password are to be made anew.\n"
    if not again.found:
        return (
            "THE LOG OF REVOCATIONS IS MISSING: keys may be back in this copy that were revoked after the backup, so none opens"
            " anything. Put the folder `revocations` of the old installation's lists directory into this one's (stentor restore"
            " --erasures does so), and it is read before this copy is let go. Without it `stentor resume` wants"
            f" --without-revocations.\n{ended}"
        )
    if not again.revoked:
        return f"No key is back that was revoked after the backup.\n{ended}"
    return f"Revoked again, because they were revoked after the backup: {again.revoked:,} keys.\n{ended}"


def _lists_of(manifest: Manifest) -> str:
    files = f"{manifest.list_files:,} files of opt-out lists ({shown(manifest.list_bytes)})"
    if manifest.has_lists:
        return f"{files} are in it, as links where they lie on the same disk: copy the directory to another one."
    return f"{files} are NOT in it: they stay in the object storage. Keep its versions as long as this backup."


def _missed(absent: Sequence[ListFile]) -> str:
    """What restored lists lack; the first of the files by name."""
    if not absent:
        return ""
    names = "\n".join(f"  {file.name}  ({file.list}, {file.bytes:,} bytes)" for file in absent[:_FILES_NAMED])
    more = f"\n  and {len(absent) - _FILES_NAMED:,} more" if len(absent) > _FILES_NAMED else ""
    return (
        f"{len(absent):,} files of opt-out lists are not in the storage, or not whole:\n{names}{more}\n"
        "Messages that go by these lists wait, and none leaves unasked, until the files are put there, or the lists are"
        " disabled or deleted.\n"
    )
