import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from command_line import Command
from stentor.audience.imports import ImportService
from stentor.cli.imports import source_of
from stentor.db.pool import Database
from stentor.testing.waiting import eventually

PEOPLE = """external_id,email,phone,locale,tier
ann,ann@example.org,0171 5551234,de-DE,gold
bob,bob@@example,,en,silver
,nobody@example.org,,en,bronze
cy,cy@example.org,,no-language-at-all,gold
"""


@pytest.fixture
def people(tmp_path: Path) -> Path:
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    return file


@pytest.fixture
def brand_id(command: Command) -> UUID:
    return UUID(json.loads(command("brand", "create", "Fan Club", "--json").stdout)["group_id"])


@pytest.mark.usefixtures("brand_id")
def test_lines_are_counted_and_those_that_are_rejected_listed_with_the_reason(command: Command, people: Path):
    done = json.loads(command("customers", "import", people, "--brand", "Fan Club", "--region", "DE", "--json").stdout)

    counts = {name: done[name] for name in ("added", "changed", "unchanged", "rejected", "bad_addresses")}
    assert counts == {"added": 2, "changed": 0, "unchanged": 0, "rejected": 2, "bad_addresses": 1}
    with people.with_name("people.csv.rejects.csv").open() as rejects:
        assert [row["line"] for row in csv.DictReader(rejects)] == ["4", "5"]


def test_without_a_brand_the_only_one_is_meant(command: Command, people: Path):
    none = command("customers", "import", people)
    command("brand", "create", "Fan Club")
    only = command("customers", "import", people)
    command("brand", "create", "Choir")
    several = command("customers", "import", people)

    assert none.exit_code == 2
    assert none.stderr == "stentor: There is no brand yet. Make one with `stentor brand create NAME`.\n"
    assert only.exit_code == 0
    assert "2 added" in only.stderr
    assert several.exit_code == 2
    assert several.stderr.startswith("stentor: There are several brands: 'Fan Club', 'Choir'. Say which with --brand")


@pytest.mark.usefixtures("brand_id")
def test_the_same_file_again_changes_nothing(command: Command, people: Path):
    command("customers", "import", people, "--brand", "Fan Club")

    again = json.loads(command("customers", "import", people, "--brand", "Fan Club", "--json").stdout)

    assert (again["added"], again["changed"], again["unchanged"], again["rejected"]) == (0, 0, 2, 2)
    assert people.with_name("people.csv.rejects.csv").read_text().count("\n") == 3


@pytest.mark.usefixtures("brand_id")
def test_subscriptions_come_from_ndjson_too(command: Command, people: Path, tmp_path: Path):
    command("customers", "import", people, "--brand", "Fan Club")
    file = tmp_path / "choices.ndjson"
    file.write_text('{"external_id":"ann","topic":"news"}\n')

    done = command("subscriptions", "import", file, "--brand", "Fan Club", "--rejects", tmp_path / "bad.csv")

    assert done.exit_code == 0
    assert "1 rejected" in done.stderr
    assert "This brand has no topic 'news'" in (tmp_path / "bad.csv").read_text()


def test_an_interrupted_import_goes_on_where_it_stopped(
    command: Command, tmp_path: Path, brand_id: UUID, database_dsn: str
):
    file = tmp_path / "crowd.csv"
    lines = ["external_id,email", ",nobody@example.org", *(f"fan-{number}," for number in range(7_000))]
    file.write_text("\n".join(lines) + "\n")
    asyncio.run(interrupt(database_dsn, brand_id, source_of(file), file.read_bytes()))

    done = command("customers", "import", file, "--brand", "Fan Club", "--json")

    assert done.stderr.startswith("Going on at byte ")
    assert (json.loads(done.stdout)["added"], json.loads(done.stdout)["rejected"]) == (7_000, 1)
    # The first run stored the line as rejected and was gone before it could write it down.
    assert file.with_name("crowd.csv.rejects.csv").read_text().splitlines()[1].startswith("2,")


@pytest.mark.usefixtures("brand_id")
def test_a_file_that_does_not_say_what_it_is_is_wrong_usage(command: Command, tmp_path: Path):
    file = tmp_path / "people.txt"
    file.write_text(PEOPLE)

    unsaid = command("customers", "import", file, "--brand", "Fan Club")
    missing = command("customers", "import", tmp_path / "none.csv", "--brand", "Fan Club")
    said = command("customers", "import", file, "--brand", "Fan Club", "--format", "csv")

    assert [unsaid.exit_code, missing.exit_code, said.exit_code] == [2, 2, 0]
    assert unsaid.stderr == "stentor: people.txt does not say what it is; say --format csv or --format ndjson.\n"


@pytest.mark.usefixtures("brand_id")
def test_a_rejects_file_that_cannot_be_written_is_told_before_anything_is_imported(
    command: Command, people: Path, tmp_path: Path
):
    refused = command("customers", "import", people, "--rejects", tmp_path / "nowhere" / "bad.csv")
    done = json.loads(command("customers", "import", people, "--json").stdout)

    assert refused.exit_code == 2
    assert refused.stderr.endswith("cannot be written: No such file or directory. Name another file with --rejects.\n")
    assert done["added"] == 2


async def interrupt(dsn: str, brand_id: UUID, source: str, content: bytes) -> None:
    """Imports the beginning of the content, a block at least, and goes away."""
    async with Database(dsn, size=3) as db:
        service = ImportService(db)
        job = await service.begin(brand_id, "customers", "csv", source, bytes_total=len(content))

        async def is_begun() -> bool:
            return (await service.get(brand_id, job.id)).bytes_done > 0

        async def chunks() -> AsyncIterator[bytes]:
            yield content[: len(content) * 6 // 7]
            await eventually(is_begun)
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await service.run(brand_id, job.id, chunks())
