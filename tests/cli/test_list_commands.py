"""`stentor lists` as an operator has it: each command is a process of its own, and no other is there to do its work."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

import pytest

from stentor.cli.list_files import SourceChanged, source_of
from stentor.cli.list_jobs import command_key
from stentor.db.pool import Database
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.service import JobService
from stentor.optouts.jobs.working import claim_next
from stentor.optouts.storage import DirectoryStorage
from stentor.optouts.uploads import UploadService
from stentor.testing.databases import TestDatabases
from stentor.testing.waiting import eventually

T = TypeVar("T")

STENTOR = (sys.executable, "-m", "stentor")
ENTRIES = "ann@example.org\n@bounce.example\nno address\nBOB@example.org\nbob@example.org\n"


class Said(NamedTuple):
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> dict[str, object]:
        """The JSON object that it printed."""
        assert self.exit_code == 0, self.stderr
        return json.loads(self.stdout)


class Site:
    """An installation with one brand and its list `partners`."""

    def __init__(self, dsn: str, data: Path) -> None:
        self.dsn = dsn
        self.data = data
        self.env = {
            **os.environ,
            "STENTOR_DATABASE_URL": dsn,
            "STENTOR_DATA": str(data),
            "STENTOR_SECRET": "a secret for tests that is long enough",
        }
        self.brand_id, self.list_id = UUID(int=0), UUID(int=0)

    def found(self) -> None:
        """Makes the brand and its list."""
        self.brand_id = UUID(str(self("brand", "create", "Fan Club", "--json").told["group_id"]))
        self.list_id = UUID(str(self("lists", "create", "partners", "--json").told["id"]))

    def copied(self, dsn: str, data: Path) -> "Site":
        """The same in a copy of its database, with other data beside it."""
        copy = Site(dsn, data)
        copy.brand_id, copy.list_id = self.brand_id, self.list_id
        return copy

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Said:
        done = subprocess.run(
            [*STENTOR, *map(str, arguments)], env=self.env, input=stdin, capture_output=True, check=False
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def meanwhile(self, act: Callable[[Database, JobService], Awaitable[T]], *, shift: timedelta = timedelta()) -> T:
        """What `act` answers, in a process whose clock is off by `shift`."""

        async def main() -> T:
            async with Database(self.dsn, size=3, shift=shift) as db:
                return await act(db, JobService(db, self.storage))

        return asyncio.run(main())

    @property
    def storage(self) -> DirectoryStorage:
        return DirectoryStorage(self.data / "lists")

    def jobs(self) -> list[Job]:
        """All jobs of the brand, newest first."""
        return self.meanwhile(lambda _, jobs: jobs.page(self.brand_id))


@pytest.fixture(scope="module")
def founded(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """What each test starts from, made once: two commands take two seconds."""
    with databases.migrated() as dsn:
        site = Site(dsn, tmp_path_factory.mktemp("founded"))
        site.found()
        yield site


@pytest.fixture
def site(founded: Site, databases: TestDatabases, tmp_path: Path) -> Iterator[Site]:
    with databases.copied(founded.dsn) as dsn:
        yield founded.copied(dsn, tmp_path / "data")


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    file = tmp_path / "entries.txt"
    file.write_text(ENTRIES)
    return file


def test_a_file_comes_onto_a_list_and_out_of_it(site: Site, entries: Path, tmp_path: Path):
    brought = site("lists", "import", entries, "--list", "partners", "--json").told
    again = site("lists", "import", entries, "--list", "partners")
    out = tmp_path / "out.csv"
    written = site("lists", "export", "partners", "--out", out, "--columns", "plain", "--json").told

    assert {name: brought[name] for name in ("submitted", "added", "duplicate", "malformed")} == {
        "submitted": 5,
        "added": 3,
        "duplicate": 1,
        "malformed": 1,
    }
    rejects = entries.with_name("entries.txt.rejects.csv")
    assert brought["rejects_file"] == str(rejects)
    assert rejects.read_text().splitlines()[1].startswith("3,")
    assert again.exit_code == 0, again.stderr
    assert "duplicate" in again.stdout
    assert written["columns"] == ["plain"]
    assert sorted(out.read_text().split()) == ["@bounce.example", "ann@example.org", "bob@example.org", "plain"]
    # What lay in the storage for it may go, and nothing is left beside it.
    assert site.jobs()[0].state == "removed"
    assert list(tmp_path.glob("*.part")) == []


def test_pipes_do_for_files(site: Site, tmp_path: Path):
    brought = site("lists", "import", "-", "--list", "partners", "--json", stdin=gzip.compress(ENTRIES.encode())).told
    written = site("lists", "export", "partners", "--out", "-")
    scrubbed = site(
        "lists", "scrub", "-", "--against", "partners", "--out", "-", stdin=b"email\nann@example.org\ncy@example.org\n"
    )

    assert (brought["added"], brought["rejects_file"]) == (3, None)
    assert written.stdout.splitlines()[0] == "plain"
    assert len(written.stdout.splitlines()) == 4
    assert scrubbed.stdout.splitlines() == ["email", "cy@example.org"]
    assert list(tmp_path.glob("*.csv")) == []


def test_a_file_is_parted_by_lists(site: Site, entries: Path, tmp_path: Path):
    site("lists", "import", entries, "--list", "partners")
    people = tmp_path / "people.csv"
    people.write_text("id,email\n1,ann@example.org\n2,cy@example.org\n3,dee@bounce.example\n4,none\n")
    clean, gone = tmp_path / "clean.csv.gz", tmp_path / "gone.csv.gz"

    done = site(
        "lists", "scrub", people, "--against", "partners", "--against", "built-in", "--out", clean,
        "--removed", gone, "--json",
    )  # fmt: skip

    assert [done.told[name] for name in ("clean", "removed", "malformed")] == [1, 2, 1]
    assert gzip.decompress(clean.read_bytes()).decode().splitlines() == ["id,email", "2,cy@example.org"]
    assert len(gzip.decompress(gone.read_bytes()).decode().splitlines()) == 3
    assert people.with_name("people.csv.rejects.csv").read_text().splitlines()[1].startswith("5,")


@pytest.mark.fault("F17")
def test_an_upload_that_was_interrupted_goes_on_where_it_stopped(site: Site, entries: Path):
    content = entries.read_bytes()
    key = command_key("import", site.list_id, source_of(entries).stamp)

    async def interrupted(db: Database, jobs: JobService) -> Job:
        job = await jobs.prepare_import(site.brand_id, "partners", declared_bytes=len(content), spec={"command": key})

        async def chunks() -> AsyncIterator[bytes]:
            yield content[:20]
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await UploadService(db, site.storage).receive(site.brand_id, job.id, chunks(), offset=0)
        return job

    job = site.meanwhile(interrupted)

    done = site("lists", "import", entries, "--list", "partners", "--json")

    assert f"Going on at byte 20 of {len(content)}.\n" in done.stderr
    assert (done.told["job"], done.told["added"]) == (str(job.id), 3)


@pytest.mark.fault("F17")
def test_what_a_killed_command_was_working_on_is_taken_up_again(site: Site, entries: Path):
    killed = site("lists", "import", entries, "--list", "partners", "--json")
    entries.write_text(ENTRIES + "dee@example.org\n")
    content = entries.read_bytes()
    key = command_key("import", site.list_id, source_of(entries).stamp)

    async def begun(db: Database, jobs: JobService) -> Job:
        job = await jobs.prepare_import(site.brand_id, "partners", spec={"command": key})

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await UploadService(db, site.storage).receive(site.brand_id, job.id, chunks())
        assert await claim_next(db, "who was killed") is not None
        return job

    # An hour ago: nobody has heard of it since.
    job = site.meanwhile(begun, shift=timedelta(hours=-1))

    done = site("lists", "import", entries, "--list", "partners", "--json").told

    assert killed.exit_code == 0
    assert (done["job"], done["added"]) == (str(job.id), 1)


def test_a_changed_file_is_another_import(site: Site, entries: Path):
    first = site("lists", "import", entries, "--list", "partners", "--json").told
    entries.write_text(ENTRIES + "dee@example.org\n")
    second = site("lists", "import", entries, "--list", "partners", "--json").told

    assert first["job"] != second["job"]
    assert second["added"] == 1


def test_an_export_that_was_half_fetched_goes_on_with_the_rest(site: Site, entries: Path, tmp_path: Path):
    site("lists", "import", entries, "--list", "partners")
    out = tmp_path / "out.csv"
    spec = ExportSpec(columns=("plain",)).as_json()
    key = command_key("export", site.list_id, spec, str(out))
    job = site.meanwhile(lambda _, jobs: jobs.begin_export(site.brand_id, "partners", {**spec, "command": key}))
    out.with_name(f"out.csv.{job.id}.part").write_text("PLAIN")
    abandoned = out.with_name(f"out.csv.{site.list_id}.part")
    abandoned.touch()
    foreign = out.with_name("out.csv.mine.part")
    foreign.touch()

    done = site("lists", "export", "partners", "--out", out, "--columns", "plain", "--json").told

    assert done["job"] == str(job.id)
    assert out.read_text().startswith("PLAIN\n")
    assert out.stat().st_size == done["bytes"]
    assert set(tmp_path.glob("*.part")) == {foreign}
    assert not abandoned.exists()


def test_what_is_there_is_not_replaced_unasked(site: Site, tmp_path: Path):
    out = tmp_path / "out.csv"
    out.write_text("precious")

    refused = site("lists", "export", "partners", "--out", out)
    nowhere = site("lists", "export", "partners", "--out", tmp_path / "none" / "out.csv")
    unsaid = site("lists", "export", "partners", "--out", tmp_path / "out.txt")
    same = site("lists", "scrub", out, "--against", "partners", "--out", out, "--force")
    kept = out.read_text()
    forced = site("lists", "export", "partners", "--out", out, "--force")

    assert [said.exit_code for said in (refused, nowhere, unsaid, same, forced)] == [2, 2, 2, 2, 0]
    assert refused.stderr == f"stentor: {out} is there already. Replace it with --force, or name another with --out.\n"
    assert kept == "precious"
    assert out.read_text() == "plain\n"
    assert len(site.jobs()) == 1


def test_a_file_that_cannot_be_read_as_one_fails_with_its_reason(site: Site, tmp_path: Path):
    file = tmp_path / "entries.zip"
    file.write_bytes(b"PK\x03\x04" + bytes(100))

    done = site("lists", "import", file, "--list", "partners", "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["state"] == "failed"
    assert "zip" in done.stderr.lower()


def test_an_import_that_is_interrupted_leaves_nothing_where_it_cannot_go_on(site: Site):
    # A run of the tests that somebody put into the background ignores interrupts, and so would all that it starts.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from stentor.__main__ import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", heeding, "lists", "import", "-", "--list", "partners"],
        env=site.env,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:

        async def begun(_: Database, jobs: JobService) -> None:
            async def is_begun() -> bool:
                return any(job.is_begun for job in await jobs.page(site.brand_id))

            await eventually(is_begun, within_s=30.0)

        site.meanwhile(begun)
        command.send_signal(signal.SIGINT)
        # Its input stays open until then: what ends may have been whole.
        command.wait(timeout=30)
        _, said = command.communicate()

    assert command.returncode == 130
    assert said.decode() == "Interrupted; nothing comes of what was read.\n"
    assert [job.state for job in site.jobs()] == ["removed"]


def test_addresses_are_checked_by_all_their_forms(site: Site, entries: Path):
    site("lists", "import", entries, "--list", "partners")

    by_hand = site("lists", "check", "partners", "Ann@Example.org", "cy@example.org", "dee@bounce.example", "none")
    piped = site("lists", "check", "partners", "-", "--json", stdin=b"bob@example.org\n\ncy@example.org\n").told

    assert [line.split(maxsplit=1)[1] for line in by_hand.stdout.splitlines()[:3]] == [
        "listed as it is, or by its hash",
        "not listed",
        "listed by its whole domain",
    ]
    assert by_hand.stdout.splitlines()[3].split()[:3] == ["none", "is", "none:"]
    assert piped["addresses"] == [
        {"address": "bob@example.org", "is_listed": True, "form": "address", "refusal": ""},
        {"address": "cy@example.org", "is_listed": False, "form": None, "refusal": ""},
    ]


def test_compaction_tells_the_files_before_and_after(site: Site, entries: Path):
    site("lists", "import", entries, "--list", "partners")
    site("lists", "import", "-", "--list", "partners", stdin=b"cy@example.org\n")

    done = site("lists", "compact", "partners", "--json").told
    everything = site("lists", "compact")

    assert isinstance(done["lists"], list)
    (told,) = done["lists"]
    assert (told["before"]["runs"], told["after"]["runs"], told["after"]["entries"]) == (2, 1, 4)
    assert [line.split()[-1] for line in everything.stdout.splitlines()] == ["list", "built-in", "partners"]


def test_a_list_whose_file_is_gone_is_not_compacted_and_named(site: Site, entries: Path):
    site("lists", "import", entries, "--list", "partners")
    (segment,) = (site.data / "lists" / "segments").iterdir()
    segment.unlink()

    compacted = site("lists", "compact", "partners")

    assert compacted.exit_code == 1
    assert compacted.stderr.startswith("stentor: A file of the list 'partners' is gone from the storage.")


def test_lists_are_shown(site: Site):
    shown = site("lists", "show").stdout.splitlines()
    one = site("lists", "show", "partners", "--json").told
    unknown = site("lists", "show", "nobody's")
    none = site("lists", "check", "partners", "-")
    wrong = site("lists", "create", "more", "--kind", "grouped")

    assert [line.split()[-1] for line in shown] == ["name", "built-in", "partners"]
    assert isinstance(one["lists"], list)
    assert [told["id"] for told in one["lists"]] == [str(site.list_id)]
    assert (unknown.exit_code, unknown.stderr) == (1, 'stentor: This brand has no opt-out list "nobody\'s".\n')
    assert (none.exit_code, none.stderr) == (2, "stentor: Standard input has no address; send one a line.\n")
    assert wrong.exit_code == 2


def test_a_paused_copy_is_left_alone(site: Site, entries: Path):
    async def pause(db: Database, _: JobService) -> None:
        async with db.autocommit() as conn:
            await conn.execute("UPDATE installation SET backup_at = now(), restored_at = now(), paused_at = now()")

    site.meanwhile(pause)

    refused = site("lists", "import", entries, "--list", "partners")

    assert refused.exit_code == 1
    assert "stentor resume" in refused.stderr
    assert site.jobs() == []


def test_a_file_that_is_written_to_while_it_is_read_is_none_to_go_by(tmp_path: Path):
    file = tmp_path / "growing.txt"
    file.write_bytes(bytes(3 << 20))
    source = source_of(file)

    async def read() -> int:
        came = 0
        async for piece in source.pieces(0):
            came += len(piece)
            with file.open("ab") as more:
                more.write(b"x")
        return came

    with pytest.raises(SourceChanged):
        asyncio.run(read())
