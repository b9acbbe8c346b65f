"""`stentor backup`, `stentor restore` and `stentor resume` as an operator has them."""

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from command_line import run_stentor
from stentor.backups.files import check_room, shown
from stentor.backups.model import DUMP_FILE, MANIFEST_FILE, BackupRefused
from stentor.db.binaries import find_binaries
from stentor.db.migrate import read_migrations
from stentor.settings import Settings
from stentor.testing.databases import TestDatabases

# They set up the logging of a whole process.
OWN_PROCESS = {"restore", "resume"}


class Said(NamedTuple):
    """How a command ended, and what it said; to people on one line."""

    exit_code: int
    stdout: str
    stderr: str


class Site:
    """An installation by its database and its data directory, in which the secret lies."""

    def __init__(self, databases: TestDatabases, dsn: str, data: Path, patch: pytest.MonkeyPatch) -> None:
        self.dsn = dsn
        self.direct_dsn = databases.past_pooler(dsn)
        self.data = data
        self._patch = patch

    def __call__(self, *arguments: object) -> Said:
        self._patch.setenv("STENTOR_DATABASE_URL", self.dsn)
        self._patch.setenv("STENTOR_DATABASE_DIRECT_URL", self.direct_dsn)
        self._patch.delenv("STENTOR_SECRET", raising=False)
        if arguments[0] in OWN_PROCESS:
            command = [sys.executable, "-m", "stentor", *map(str, arguments), "--data", str(self.data)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return Said(done.returncode, done.stdout, " ".join(done.stderr.split()))
        result = run_stentor(*arguments, "--data", self.data)
        # The command's own entry point makes the sentence of what is raised here.
        return Said(result.exit_code, result.stdout, " ".join(f"{result.stderr} {result.exception or ''}".split()))


@pytest.fixture
def old(databases: TestDatabases, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(databases, database_dsn, tmp_path / "old", monkeypatch)
    assert site("brand", "create", "Fan Club").exit_code == 0
    return site


@pytest.fixture
def new(databases: TestDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with databases.empty() as dsn:
        yield Site(databases, dsn, tmp_path / "new", monkeypatch)


@pytest.fixture
def backup(old: Site, tmp_path: Path) -> Path:
    assert old("backup", tmp_path / "backup").exit_code == 0
    return tmp_path / "backup"


def test_a_backup_is_complete_private_and_says_what_it_is(old: Site, tmp_path: Path):
    told = json.loads(old("backup", tmp_path / "backup", "--json").stdout)

    backup = Path(told["backup"])
    assert {file.name for file in backup.iterdir()} == {
        "manifest.json",
        "database.dump",
        "secret.key",
        "erasures.ndjson",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in backup.iterdir()} == {0o600}
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert (backup / "secret.key").read_text() == (old.data / "secret.key").read_text()
    assert json.loads((backup / MANIFEST_FILE).read_text()) == told["manifest"]
    assert told["manifest"]["migrations"][-1]["number"] == read_migrations()[-1].number
    assert told["manifest"]["dump_bytes"] == (backup / DUMP_FILE).stat().st_size
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".unfinished")] == []


@pytest.mark.fault("F21")
def test_a_restored_copy_has_everything_and_is_paused_until_it_is_let_go(old: Site, new: Site, backup: Path):
    restored = new("restore", backup, "--erasures", old.data / "lists", "--json")

    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout)["paused"] is True
    assert json.loads(restored.stdout)["erasure_log_found"] is True
    assert new("brand", "list", "--json").stdout == old("brand", "list", "--json").stdout
    assert stat.S_IMODE((new.data / "secret.key").stat().st_mode) == 0o600
    examined = {line["check"]: line["state"] for line in json.loads(new("doctor", "--json").stdout)["checks"]}
    assert examined["paused"] == "bad"

    resumed = new("resume", "--json")

    assert json.loads(resumed.stdout) == {"paused": False, "executions_paused": 0}
    examined = {line["check"] for line in json.loads(new("doctor", "--json").stdout)["checks"]}
    assert "paused" not in examined
    assert new("resume").exit_code == 1


def test_nothing_is_written_over(old: Site, new: Site, backup: Path):
    again = old("backup", backup)
    over = old("restore", backup)

    assert (again.exit_code, over.exit_code) == (1, 1)
    assert "is there already, and no backup is written over" in again.stderr
    assert "There is an installation in this database" in over.stderr


def test_a_database_with_anything_in_it_is_not_restored_into(new: Site, backup: Path):
    with psycopg.connect(new.dsn) as conn:
        conn.execute("CREATE TABLE somebody_elses (id integer)")

    refused = new("restore", backup)

    assert refused.exit_code == 1
    assert "The database is not empty: it has somebody_elses." in refused.stderr
    assert not (new.data / "secret.key").exists()


def test_a_dump_that_was_changed_is_refused(new: Site, backup: Path):
    with (backup / DUMP_FILE).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")

    refused = new("restore", backup)

    assert refused.exit_code == 1
    assert "was cut short or changed" in refused.stderr


def test_a_directory_without_its_manifest_is_no_backup(new: Site, backup: Path):
    (backup / MANIFEST_FILE).unlink()

    refused = new("restore", backup)

    assert refused.exit_code == 1
    assert "without its manifest it is one that broke off" in refused.stderr


def test_a_backup_of_a_newer_schema_is_refused_before_anything_is_done(new: Site, backup: Path):
    manifest = json.loads((backup / MANIFEST_FILE).read_text())
    newest = manifest["migrations"][-1]
    manifest["migrations"].append({**newest, "number": newest["number"] + 1, "name": "tomorrow"})
    (backup / MANIFEST_FILE).write_text(json.dumps(manifest))

    refused = new("restore", backup)

    assert refused.exit_code == 1
    assert "tomorrow is the first that it lacks" in refused.stderr
    assert tables(new) == []


def test_a_backup_of_a_newer_format_is_refused(new: Site, backup: Path):
    (backup / MANIFEST_FILE).write_text('{"format": 2, "what": "nobody knows yet"}')

    refused = new("restore", backup)

    assert refused.exit_code == 1
    assert "was made by a newer Stentor" in refused.stderr


def test_without_its_secret_a_backup_is_restored_only_where_the_secret_is(old: Site, new: Site, tmp_path: Path):
    backup = tmp_path / "apart"
    taken = old("backup", backup, "--without-secret")
    nowhere = new("restore", backup)
    new.data.mkdir(exist_ok=True)
    (new.data / "secret.key").write_text("another secret that is long enough as well")
    (new.data / "secret.key").chmod(0o600)
    wrong = new("restore", backup)
    shutil.copy(old.data / "secret.key", new.data / "secret.key")
    right = new("restore", backup)

    assert "is NOT in it" in taken.stderr
    assert "The secret was kept apart from this backup." in nowhere.stderr
    assert "is not the one of this backup" in wrong.stderr
    assert [each.exit_code for each in (taken, nowhere, wrong, right)] == [0, 1, 1, 0]


def test_a_database_that_was_made_with_another_secret_is_not_backed_up(old: Site, tmp_path: Path):
    (old.data / "secret.key").write_text("another secret that is long enough as well")

    refused = old("backup", tmp_path / "backup")

    assert refused.exit_code == 1
    assert "made with another secret" in refused.stderr
    assert not (tmp_path / "backup").exists()


def test_nothing_starts_on_a_dump_that_was_restored_by_hand(new: Site, backup: Path):
    # The same is left by a restore that was killed before its commit.
    subprocess.run(
        [
            find_binaries(Settings().postgres_bin).program("pg_restore"),
            "--no-owner",
            "--dbname",
            new.direct_dsn,
            backup / DUMP_FILE,
        ],
        check=True,
    )

    started = new("migrate")
    again = new("restore", backup)

    assert started.exit_code == 1
    assert "was rolled back" in started.stderr
    assert "The database is not empty" in again.stderr


def test_a_backup_that_fails_leaves_nothing_behind(old: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with failing_programs(tmp_path) as programs:
        monkeypatch.setenv("STENTOR_POSTGRES_BIN", str(programs))
        failed = old("backup", tmp_path / "backup")

    assert failed.exit_code == 1
    assert "pg_dump ended with 1: no space left on device" in failed.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"old", "programs"}


def test_programs_older_than_the_server_are_refused(old: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with failing_programs(tmp_path, major=15) as programs:
        monkeypatch.setenv("STENTOR_POSTGRES_BIN", str(programs))
        refused = old("backup", tmp_path / "backup")

    assert refused.exit_code == 1
    with psycopg.connect(old.dsn) as conn:
        are_older = conn.info.server_version >= 160_000
    assert ("the programs here are of 15" if are_older else "pg_dump ended with 1") in refused.stderr


@pytest.mark.fault("F10")
def test_a_backup_needs_room(tmp_path: Path):
    check_room(tmp_path / "not" / "there", 1, "the backup")

    with pytest.raises(BackupRefused, match=r"the backup may take 1,000.0 TB\. Make room"):
        check_room(tmp_path, 10**15, "the backup")


@pytest.mark.parametrize(("size", "said"), [(0, "0 B"), (1_500, "1.5 kB"), (2_000_000_000, "2.0 GB")])
def test_sizes_are_told_in_units_of_a_thousand(size: int, said: str):
    assert shown(size) == said


@contextmanager
def failing_programs(folder: Path, *, major: int = 99) -> Iterator[Path]:
    programs = folder / "programs"
    programs.mkdir()
    for name, does in {
        "postgres": f"echo 'postgres (PostgreSQL) {major}.0'",
        "pg_config": "true",
        "pg_dump": "echo no space left on device >&2; exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    yield programs


def tables(site: Site) -> list[str]:
    with psycopg.connect(site.dsn) as conn:
        return [name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
