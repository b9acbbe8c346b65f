"""Opt-out lists: a suppression file in and out, scrubs past it, and how fast and how truly the list answers.

Questions go by HTTP with a key, uploads by signed links; what exports and scrubs have made is read where it lies. Files are read
and made on the disk that is measured. The time of an import or a scrub counts from when its file was received whole, that of an
export, of addresses alone, from when it was ordered.
"""

import asyncio
import hashlib
import importlib.util
import itertools
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec

import stentor
from stentor.cli.bench.club import Club, found_club
from stentor.cli.bench.result import Measure, megabytes, milliseconds, per_s, ratio, seconds
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.jobs.model import Job
from stentor.optouts.model import ListDraft, OptOutList
from stentor.testing.http_load import AnswerTaker, LoadResult, RequestMaker, closed_loop, open_loop, post_maker

LINES = 20_000_000

_SCRUBBED_SHARE = 2
_SCRUBBED_MAX = 10_000_000
_ASKED = 60_000
_ASKED_PER_S = 5_000
_CONNECTIONS = 32
_CHECKS = 200
_CHECKED_AT_ONCE = 10_000
_CHECKING = 2
_WAVES = 200
_WAVE = 500
_LISTED_SHARE = 10
_SAMPLE = 20_000
_LOOK_EVERY_S = 0.1
_SETTLED_S = 1.0
_JOB_WITHIN_S = 1_800.0


async def measure(premises: Premises, lines: int) -> dict[str, Measure]:
    """All measures of a list of that many lines, of which one in a hundred is malformed and five repeat others."""
    maker = _maker()
    file = premises.data / "bench-optouts.txt"
    await asyncio.to_thread(maker.make, file, lines)
    truth: dict[str, int] = maker.counts(lines)
    async with MemoryWatch(premises.data) as memory, premises.running():
        await premises.until_listening()
        club = await found_club(premises)
        # What is asked is how fast lists answer, not how fast a key may ask.
        await premises.services.accounts.update_brand_settings(club.brand.id, {"optout_rate_per_s": 1_000_000})
        async with _Desk.opened(premises, club) as desk:
            results = await _in_and_out(desk, file, truth)
            results |= await _asked(desk, file)
            results |= await _scrubbed(desk, file, lines)
        results |= await _guarded(premises, club, file)
    file.unlink()
    return results | {"peak_rss_mb": megabytes(memory.peak_mb)}


def _maker() -> ModuleType:
    """The generator, which lies beside the results. Ends the command where there is no source checkout."""
    path = Path(stentor.__file__).parents[2] / "benchmarks" / "optout_file.py"
    spec = importlib.util.spec_from_file_location("optout_file", path)
    if not path.is_file() or spec is None or spec.loader is None:
        fail(
            "This bench needs benchmarks/optout_file.py of the source repository, and Stentor is installed without it."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Desk(msgspec.Struct, frozen=True):
    """A client of the brand, and a list."""

    premises: Premises
    club: Club
    listed: OptOutList
    http: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def opened(cls, premises: Premises, club: Club) -> AsyncIterator["_Desk"]:
        listed = await premises.services.optout_lists.create(club.brand.id, ListDraft(name="Bench"))
        headers = {"Authorization": f"Bearer {club.key.token}"}
        quietly = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(premises.url, headers=headers, timeout=quietly) as http:
            yield cls(premises, club, listed, http)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.http.post(path, json=body) as answer:
            if not answer.ok:
                fail(f"{path} answered {answer.status}: {await answer.text()}")
            return msgspec.json.decode(await answer.read(), type=dict[str, Any])

    async def send(self, url: str, file: Path) -> None:
        with file.open("rb") as body:
            async with self.http.put(_path(url), data=body, skip_auto_headers=("Authorization",)) as answer:
                if answer.status != 200:
                    fail(f"The upload was answered {answer.status}: {await answer.text()}")

    async def fetch(self, job: Job, name: str, target: Path) -> None:
        jobs = self.premises.services.optout_jobs
        result = await jobs.result(self.club.brand.id, job.id, name)
        with target.open("wb") as file:
            async for piece in jobs.read(result):
                file.write(piece)

    async def over(self, job_id: UUID) -> Job:
        """The job once it has succeeded. Ends the command when it fails."""
        give_up_at_s = time.monotonic() + _JOB_WITHIN_S
        while not (job := await self.premises.services.optout_jobs.get(self.club.brand.id, job_id)).is_over:
            if time.monotonic() > give_up_at_s:
                fail(f"The {job.kind} was not over after {_JOB_WITHIN_S:.0f} s.")
            await asyncio.sleep(_LOOK_EVERY_S)
        if job.state != "success":
            fail(f"The {job.kind} ended as {job.state}: {job.message}")
        return job


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _took_s(job: Job) -> float:
    if job.ready_at is None or job.ended_at is None:
        fail("A job has no times.")
    return (job.ended_at - job.ready_at).total_seconds()


# --- in and out -----------------------------------------------------------------------------------------------------


async def _in_and_out(desk: _Desk, file: Path, truth: dict[str, int]) -> dict[str, Measure]:
    size = os.path.getsize(file)  # noqa: ASYNC240, PTH202
    async with _DiskWatch(desk.premises.data / "lists") as disk:
        prepared = await desk.post(
            "/optout-list/prepare-upload", {"optoutListId": desk.listed.code, "fileContentLength": size}
        )
        await desk.send(prepared["uploadUrl"], file)
        imported = await desk.over(UUID(prepared["importReference"]))
    counted = {name: getattr(imported, name) for name in ("submitted", "added", "duplicate", "malformed")}
    if any(count != truth.get(name, truth["lines"]) for name, count in counted.items()):
        fail(f"The import counted {counted}, where the file has {truth}.")
    after_bytes = await disk.settled()
    exporting = await desk.premises.services.optout_jobs.begin_export(
        desk.club.brand.id, desk.listed.code, ExportSpec(columns=("plain",)).as_json()
    )
    exported = await desk.over(exporting.id)
    return {
        "import_lines_per_s": per_s(truth["lines"] / _took_s(imported)),
        "import_5gb_s": seconds(_took_s(imported)),
        "export_5gb_s": seconds(_took_s(exported)),
        # What was uploaded lies there too, as long as it is loaded.
        "disk_ratio_loading": ratio((disk.peak_bytes - size) / size),
        "disk_ratio_after": ratio(after_bytes / size),
    }


class _DiskWatch:
    """What lies in a directory, looked at several times a second; what is on the disk counts, not what files are long."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._looking: asyncio.Task[None] | None = None
        self.peak_bytes = 0

    def now(self) -> int:
        total = 0
        for folder, _, names in os.walk(self._directory):
            for name in names:
                with suppress(FileNotFoundError):
                    total += (Path(folder) / name).lstat().st_blocks * 512
        return total

    async def settled(self) -> int:
        """What is there once nothing is cleared away any more."""
        before = self.now()
        while True:
            await asyncio.sleep(_SETTLED_S)
            if (now := self.now()) == before:
                return now
            before = now

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, self.now())
            await asyncio.sleep(_LOOK_EVERY_S)


# --- asked ----------------------------------------------------------------------------------------------------------


async def _asked(desk: _Desk, file: Path) -> dict[str, Measure]:
    on_list, strangers = _members(file, _SAMPLE), _strangers(_SAMPLE)
    wrong = {"positives": 0, "negatives": 0}

    def ask(number: int) -> tuple[str, bool]:
        listed = number % 2 == 0
        return (on_list if listed else strangers)[number // 2 % _SAMPLE], listed

    def request(number: int) -> bytes:
        text, _ = ask(number)
        return (
            f"GET /optout-list/has-optout?optoutListId={desk.listed.code}&optout={text} HTTP/1.1\r\n"
            f"Host: bench\r\nAuthorization: Bearer {desk.club.key.token}\r\n\r\n"
        ).encode()

    def take(number: int, status: int, body: bytes) -> None:
        if status != 200:
            fail(f"has-optout answered {status}: {body[:200]!r}")
        said, true = b'"hasOptout":true' in body.replace(b" ", b""), ask(number)[1]
        wrong["positives"] += said and not true
        wrong["negatives"] += true and not said

    await _load(desk, request, take=take, requests=_ASKED // 10)
    fastest = await _load(desk, request, take=take, requests=_ASKED)
    steady = await _load(desk, request, take=take, requests=_ASKED, rate_per_s=_ASKED_PER_S)
    checked_per_s = await _checked(desk, on_list, strangers, wrong)
    return {
        "has_optout_per_s": per_s(fastest.answers_per_s),
        "has_optout_p99_ms": milliseconds(steady.latency_ms(0.99)),
        "bulk_check_per_s": per_s(checked_per_s),
        "false_positives": Measure(wrong["positives"], "answers"),
        "false_negatives": Measure(wrong["negatives"], "answers"),
    }


async def _load(
    desk: _Desk, request: RequestMaker, *, requests: int, take: AnswerTaker, rate_per_s: float | None = None
) -> LoadResult:
    settings = desk.premises.settings
    if rate_per_s is None:
        return await closed_loop(
            settings.host, settings.port, request, connections=_CONNECTIONS, requests=requests, take=take
        )
    return await open_loop(
        settings.host,
        settings.port,
        request,
        connections=_CONNECTIONS,
        requests=requests,
        rate_per_s=rate_per_s,
        take=take,
    )


async def _checked(desk: _Desk, on_list: Sequence[str], strangers: Sequence[str], wrong: dict[str, int]) -> float:
    """Addresses per second by the native bulk check, half of them listed."""
    settings, draw = desk.premises.settings, random.Random(1)
    half = _CHECKED_AT_ONCE // 2
    bodies: list[bytes] = []
    truths: list[list[bool]] = []
    for _ in range(8):
        pairs = [(text, True) for text in draw.sample(on_list, half)]
        pairs += [(text, False) for text in draw.sample(strangers, half)]
        draw.shuffle(pairs)
        bodies.append(msgspec.json.encode({"addresses": [text for text, _ in pairs]}))
        truths.append([true for _, true in pairs])
    path = f"/v1/groups/{desk.club.brand.id}/optout-lists/{desk.listed.id}/entries:check"
    headers = {"Authorization": f"Bearer {desk.club.key.token}", "Content-Type": "application/json"}
    make = post_maker("bench", path, headers, lambda number: bodies[number % len(bodies)])

    def take(number: int, status: int, body: bytes) -> None:
        if status != 200:
            fail(f"The bulk check answered {status}: {body[:200]!r}")
        if number < len(bodies):
            said = [one["listed"] for one in msgspec.json.decode(body)["data"]]
            for is_said, is_true in zip(said, truths[number], strict=True):
                wrong["positives"] += is_said and not is_true
                wrong["negatives"] += is_true and not is_said

    done = await closed_loop(settings.host, settings.port, make, connections=_CHECKING, requests=_CHECKS, take=take)
    return done.answers_per_s * _CHECKED_AT_ONCE


def _members(file: Path, count: int) -> list[str]:
    """Addresses that the file has, from all of it."""
    size, draw, found = file.stat().st_size, random.Random(2), dict[str, None]()
    with file.open("rb") as lines:
        while len(found) < count:
            lines.seek(draw.randrange(max(1, size - 200)))
            lines.readline()
            text = lines.readline().decode().strip()
            if "@" in text:
                found[text] = None
    return list(found)


def _strangers(count: int) -> list[str]:
    """Addresses like those, of people whose numbers no file has."""
    return [f"james.smith{number}@gmail.com" for number in range(90_000_000, 90_000_000 + count)]


# --- scrubbed -------------------------------------------------------------------------------------------------------


async def _scrubbed(desk: _Desk, file: Path, lines: int) -> dict[str, Measure]:
    """A file of which half is listed, held against the list; its halves come back exactly or the command ends."""
    rows = min(_SCRUBBED_MAX, lines // _SCRUBBED_SHARE)
    mixed, clean, removed = (desk.premises.data / f"bench-{name}.csv" for name in ("mixed", "clean", "removed"))
    expected = await asyncio.to_thread(_mix, file, mixed, rows)
    async with MemoryWatch(desk.premises.data) as memory:
        prepared = await desk.post(
            f"/v1/groups/{desk.club.brand.id}/optout-scrubs",
            {"against": [str(desk.listed.id)], "bytes": mixed.stat().st_size},
        )
        await desk.send(prepared["upload_url"], mixed)
        job = await desk.over(UUID(prepared["id"]))
    for name, target, digest in (("clean.csv", clean, expected[0]), ("removed.csv", removed, expected[1])):
        await desk.fetch(job, name, target)
        if await asyncio.to_thread(_sum_of, target) != digest:
            fail(f"{name} of the scrub is not what a sorted join would leave.")
    for path in (mixed, clean, removed):
        path.unlink()
    return {"scrub_per_s": per_s(rows / _took_s(job)), "scrub_rss_mb": megabytes(memory.peak_mb)}


def _mix(file: Path, mixed: Path, rows: int) -> tuple[int, int]:
    """Writes listed addresses and strangers in turn, and returns the sums of both."""
    sums = [0, 0]
    with file.open("rb") as lines, mixed.open("wb") as target:
        listed = (line for line in lines if b"@" in line)
        strangers = (b"james.smith%d@gmail.com\n" % number for number in itertools.count(90_000_000))
        for pair in itertools.islice(zip(strangers, listed, strict=False), rows // 2):
            target.writelines(pair)
            for place, line in enumerate(pair):
                sums[place] += _weight(line.strip())
    return sums[0], sums[1]


def _sum_of(file: Path) -> int:
    """Of all lines, whatever their order; a header has no address."""
    total = 0
    with file.open("rb") as lines:
        for line in lines:
            if b"@" in line:
                total += _weight(line.strip().strip(b'"'))
    return total


def _weight(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=16).digest(), "little")


# --- guarded --------------------------------------------------------------------------------------------------------


async def _guarded(premises: Premises, club: Club, file: Path) -> dict[str, Measure]:
    """What asking the list costs a wave of 500, one in ten of whom it holds: the median, beside a brand without it."""
    on_list, strangers = _members(file, _WAVES * _WAVE // _LISTED_SHARE), _strangers(_WAVES * _WAVE)
    bare = await premises.services.accounts.create_brand("Bench Without Lists")
    took_ms = []
    for brand_id in (club.brand.id, bare.id):
        waves = list(_waves(on_list, strangers))
        took_ms.append(statistics.median([await _wave_ms(premises, brand_id, wave) for wave in waves]))
    return {"guard_wave_ms": milliseconds(took_ms[0] - took_ms[1])}


def _waves(on_list: Sequence[str], strangers: Sequence[str]) -> Iterator[list[tuple[str, bytes]]]:
    for number in range(_WAVES):
        share = _WAVE // _LISTED_SHARE
        wave = [*on_list[number * share : (number + 1) * share], *strangers[number * _WAVE :][: _WAVE - share]]
        yield [(text, hashlib.md5(text.encode(), usedforsecurity=False).digest()) for text in wave]


async def _wave_ms(premises: Premises, brand_id: UUID, wave: list[tuple[str, bytes]]) -> float:
    look_up = premises.core.look_up

    async def ask() -> float:
        async with premises.core.db.read() as conn:
            started_s = time.perf_counter()
            listings = await look_up.wave(conn, brand_id, ChannelKind.EMAIL, wave)
            for address, digest in wave:
                listings.objecting(address, digest, campaign_id=None, topic_id=None)
            return (time.perf_counter() - started_s) * 1e3

    return await look_up.surely(ask)
