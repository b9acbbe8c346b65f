"""Pages of any size as the classic API has them: frozen at 0, read from there on, handed over when their last byte was written."""

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.asking_again import AskAgain
from stentor.integrations.pulls.freezing import Freezer
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.in_order import in_order
from stentor.integrations.pulls.model import Pull, PulledRun, Puller, Wording
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.standing import may_be_pulled

PIECE_ROWS = 5_000
PIECES_AT_ONCE = 2
"""Rows of a page that are read at a time, by that many connections side by side: what a page of any size holds in memory."""

_Place: TypeAlias = tuple[PulledRun, Pull, tuple[int, int]]


class Page(msgspec.Struct, frozen=True):
    """A page of the classic API: its rows as JSON, piece by piece without the brackets.

    `on_sending` is to be called before its first byte is written out, and `on_sent` after its last.
    `stands` is asked before the first byte leaves. False: it was cancelled, or its deadline has passed, since it was asked for, and
    the page is empty. Raises Unavailable where it was paused.
    """

    pieces: AsyncGenerator[bytes, None]
    stands: Callable[[], Awaitable[bool]]
    on_sent: Callable[[], Awaitable[None]] | None = None
    on_sending: Callable[[], Awaitable[None]] | None = None


class Asked(msgspec.Struct, frozen=True):
    """Which page of the classic API is asked for: `top` rows from `skip` on, of several channels one after the other."""

    channels: Sequence[int]
    campaign: int
    top: int
    skip: int
    wording: Wording


class Paging:
    """Reads pages of the classic API."""

    def __init__(self, db: Database, runs: Runs, freezer: Freezer, hand_over: HandOver, ask_again: AskAgain) -> None:
        self._db = db
        self._runs = runs
        self._freezer = freezer
        self._hand_over = hand_over
        self._ask_again = ask_again

    async def page(self, brand_id: UUID, puller: Puller, asked: Asked) -> Page:
        """As `PullService.page`."""
        places = await self._places(brand_id, puller, asked)
        if not places:
            return Page(_nothing(), _always)

        async def stands() -> bool:
            for run, _, _ in places:
                if await may_be_pulled(self._db, run) is None:
                    return False
            return True

        async def on_sending() -> None:
            for _, pull, place in places:
                await self._hand_over.sending(pull, place)

        async def on_sent() -> None:
            for run, pull, place in places:
                await self._hand_over.sent(run, pull, place, asked_by=puller.label)

        return Page(self._pieces(places, asked.wording), stands, on_sent, on_sending)

    async def _places(self, brand_id: UUID, puller: Puller, asked: Asked) -> list[_Place]:
        """Which rows of which lists the page has; what was on its way before them is noted as sent."""
        places: list[_Place] = []
        top, skip = asked.top, asked.skip
        for number in asked.channels if top else ():
            run = await self._runs.of_number(brand_id, asked.campaign, number)
            asked_at = None if run is None else await may_be_pulled(self._db, run)
            if run is None or asked_at is None:
                continue
            pull = None if asked.skip == 0 else await self._latest(run, puller)
            if pull is None:
                pull = await self._freezer.freeze(run, puller, asked_at=asked_at)
            start, end = min(skip, pull.rows), min(skip + top, pull.rows)
            if start > 0:
                await self._hand_over.taken(run, pull, start, asked_by=puller.label)
            if start < end:
                places.append((run, pull, (start, end)))
            top, skip = top - (end - start), max(0, skip - pull.rows)
            # From 0 on all lists are frozen, also those that only later pages reach: these read the same round.
            if top == 0 and asked.skip:
                break
        return places

    async def _pieces(self, places: Sequence[_Place], wording: Wording) -> AsyncGenerator[bytes, None]:
        pieces = in_order(
            (
                functools.partial(self._piece, run, pull, (begin, min(begin + PIECE_ROWS, end)), wording)
                for run, pull, (start, end) in places
                for begin in range(start, end, PIECE_ROWS)
            ),
            at_once=PIECES_AT_ONCE,
        )
        async with aclosing(pieces):
            async for each in pieces:
                yield each

    async def _piece(self, run: PulledRun, pull: Pull, place: tuple[int, int], wording: Wording) -> bytes:
        async with self._db.transaction() as conn:
            piece, changed = await people_store.page(conn, pull, run, place, wording)
        await self._ask_again.about_page(run, pull, place, changed)
        return piece

    async def _latest(self, run: PulledRun, puller: Puller) -> Pull | None:
        async with self._db.read() as conn:
            return await store.latest(conn, run, puller)


async def _nothing() -> AsyncGenerator[bytes, None]:
    for piece in ():
        yield piece


async def _always() -> bool:
    return True
