"""What somebody should look at: what happened, why, and what to do about it, the gravest first."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from stentor.audience.imports import ImportService
from stentor.channels.service import SenderService
from stentor.console.navigation import BUILT
from stentor.console.words import reason_words
from stentor.executions.today import Brief, Day, TodayService
from stentor.optouts.jobs.service import JobService

LATELY = timedelta(hours=24)
_LOOKED_AT_MAX = 20

# Below this many, one failure more or less is a large share.
ATTEMPTS_MIN = 100
FAILED_SHARE_ALARM = 0.05


class Alert(msgspec.Struct, frozen=True):
    """Something to look at. `page` is where, below the brand's own address; empty where there is no page for it."""

    tone: Literal["bad", "hold", "odd"]
    icon: str
    title: str
    cause: str
    remedy: str
    page: str = ""
    at: datetime | None = None


class Alerts:
    """Gathers what concerns a brand now."""

    def __init__(self, today: TodayService, senders: SenderService, imports: ImportService, jobs: JobService) -> None:
        self._today = today
        self._senders = senders
        self._imports = imports
        self._jobs = jobs

    async def of(self, brand_id: UUID, now: datetime) -> list[Alert]:
        """What there is to look at, of the last 24 hours."""
        found = await self._of_senders(brand_id)
        found += [_of_execution(one) for one in await self._today.failed(brand_id)]
        found += await self._of_loads(brand_id, now - LATELY)
        found += of_day(await self._today.day(brand_id))
        return sorted(found, key=lambda one: ("bad", "odd", "hold").index(one.tone))

    async def _of_senders(self, brand_id: UUID) -> list[Alert]:
        return [
            Alert(
                "bad",
                "pause",
                f"Sender {one.name} is paused",
                "What goes through it waits and loses nothing.",
                "Resume it when its provider answers again.",
                _page("settings"),
                one.paused_at,
            )
            for one in await self._senders.page(brand_id)
            if one.enabled and one.paused_at is not None
        ]

    async def _of_loads(self, brand_id: UUID, since: datetime) -> list[Alert]:
        found = [
            Alert(
                "bad",
                "upload",
                f"Import of {one.source or one.kind} stopped",
                one.problem,
                f"{one.lines_done:,} lines before it are kept. Mend the file and import it again.",
                _page("imports"),
                one.updated_at,
            )
            for one in await self._imports.page(brand_id, limit=_LOOKED_AT_MAX)
            if one.state == "failed" and one.updated_at >= since
        ]
        return found + [
            Alert(
                "bad",
                "upload",
                f"{_JOBS.get(one.kind, one.kind)} failed",
                one.message,
                "Mend what it names and start it again; nothing half-done is in the list.",
                _page("optouts"),
                one.ended_at,
            )
            for one in await self._jobs.page(brand_id, limit=_LOOKED_AT_MAX)
            if one.state == "failed" and one.ended_at is not None and one.ended_at >= since
        ]


_JOBS = {"import": "Upload of an opt-out list", "export": "Export of an opt-out list", "scrub": "Scrub of a file"}


def of_day(day: Day) -> Sequence[Alert]:
    """What the day's counters tell of."""
    found: list[Alert] = []
    if day.attempted >= ATTEMPTS_MIN and day.failed > FAILED_SHARE_ALARM * day.attempted:
        reason = next(iter(day.failed_by_reason), "")
        found.append(
            Alert(
                "bad",
                "x",
                f"{100 * day.failed / day.attempted:.1f}% of today's attempts failed",
                f"{day.failed:,} of {day.attempted:,}, most of them because {reason_words(reason)}.",
                "Read the provider's words on the executions below and mend what they name.",
                _page("executions"),
            )
        )
    if day.unknown:
        found.append(
            Alert(
                "odd",
                "help",
                f"Of {day.unknown:,} {'send' if day.unknown == 1 else 'sends'} nobody knows whether they went out",
                "The connection was lost between the message and the answer.",
                "Nobody gets it twice unless you say so: decide on the execution's page.",
                _page("executions"),
            )
        )
    if left_out := day.skipped_by_reason.get("template_error", 0):
        found.append(
            Alert(
                "hold",
                "doc",
                f"{left_out:,} {'person was' if left_out == 1 else 'people were'} left out by a template",
                "It asked for something that is not known of them, and has no default for it.",
                "Give it a default; they were skipped, not sent a blank.",
                _page("templates") or _page("campaigns"),
            )
        )
    return found


def _of_execution(one: Brief) -> Alert:
    return Alert(
        "bad",
        "x",
        f"{one.name or one.triggered_by} was not published",
        (one.error_message or "").replace("`", ""),
        "Nobody was written to. Mend what it names and start it again.",
        f"executions/{one.id}",
        one.created_at,
    )


def _page(name: str) -> str:
    return name if name in BUILT else ""
