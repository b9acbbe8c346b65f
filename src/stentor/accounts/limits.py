"""How often somebody may call, counted for all processes together.

A limit is so many calls in a window, which begins with its first call and is a row of the database. Limits of a minute are
few calls, and each of them is counted there. Of limits of a second a process takes some calls in advance and counts
those by itself, so that a busy key costs a statement for tens of calls and not one for each. Either way no more calls pass in
a window than it has, however many processes there are: what a process took and did not use is lost, and never used twice.
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts import limit_store
from stentor.accounts.limit_store import Taken, Wanted
from stentor.accounts.model import Brand, Principal
from stentor.clock import boottime_s
from stentor.db.batches import until_short
from stentor.db.pool import Database

TEST_SENDS_A_MINUTE_MAX = 10
"""Calls a minute for test sends of a group, whoever makes them."""

SUBJECTS_MAX = 50_000
"""Whose calls taken in advance a process remembers. Who is pushed out loses those, and takes new ones."""

FORGOTTEN_AT_ONCE_MAX = 10_000

LimitName: TypeAlias = Literal["user", "group", "key", "optout", "tests", "hub", "login"]

LOGINS_A_SECOND_MAX = 20
"""Logins with one user name of a hub client from one line; wrong ones are counted as guesses, too."""

_MINUTE_S = 60
_HUB_WINDOW_S = 10
_SECOND_S = 1


class Limit(msgspec.Struct, frozen=True):
    """At most so many calls of the subject in a window of so many seconds. `name` is what answers call it."""

    name: LimitName
    subject: str
    at_most: int
    window_s: int


class Standing(msgspec.Struct, frozen=True):
    """How a caller stands after a call: of the limit so many calls are left until its window ends.

    `is_over`: this call was one too many for this limit, and was not counted by any.
    """

    limit: Limit
    remaining: int
    ends_in_s: float
    ends_at: float
    """In seconds since 1970."""
    is_over: bool = False

    @property
    def retry_after_s(self) -> int:
        """Whole seconds after which there are calls again."""
        return max(1, math.ceil(self.ends_in_s))


def limits_of_seed_nouns(principal: Principal, brand: Brand, *, is_batch: bool) -> list[Limit]:
    """What holds for batches, profiles, campaigns, schedules and their tags; none that the brand has lifted.

    It is the limit of the user behind the token, whichever of their tokens it is, and where batches are sent also that of the
    group. Each brand has its own limits, and so each counts by itself.
    """
    found = [Limit("user", f"user {principal.holder} {brand.id}", brand.settings.user_rate_per_min, _MINUTE_S)]
    if is_batch:
        found.append(Limit("group", f"group {brand.id}", brand.settings.batch_rate_per_min, _MINUTE_S))
    return [limit for limit in found if limit.at_most]


def limits_of_key(principal: Principal, brand: Brand) -> list[Limit]:
    """What holds on the other native paths."""
    limit = Limit("key", f"key {principal.key_number} {brand.id}", brand.settings.key_rate_per_s, _SECOND_S)
    return [limit] if limit.at_most else []


def limits_of_organisation_key(principal: Principal, rate_per_s: int) -> list[Limit]:
    """What holds for an organisation's own paths; 0 lifts it."""
    limit = Limit("key", f"organisation {principal.key_number}", rate_per_s, _SECOND_S)
    return [limit] if limit.at_most else []


def limit_of_optout_key(principal: Principal, brand: Brand) -> Limit:
    """What holds where opt-out lists are asked in their clients' words."""
    return Limit("optout", f"optout {principal.key_number}", brand.settings.optout_rate_per_s, _SECOND_S)


def limit_of_test_sends(brand: Brand) -> Limit:
    """What holds for test sends, beside what holds for all calls about campaigns."""
    return Limit("tests", f"tests {brand.id}", TEST_SENDS_A_MINUTE_MAX, _MINUTE_S)


def limits_of_hub_client(client_id: UUID, brand: Brand) -> list[Limit]:
    """What holds for the calls of a partner, whichever of its tokens it sends; none where the brand has lifted it."""
    limit = Limit("hub", f"hub {client_id}", brand.settings.hub_rate_per_10_s, _HUB_WINDOW_S)
    return [limit] if limit.at_most else []


def limit_of_hub_logins(username: str, line: str) -> Limit:
    """What holds for the logins with a user name, whoever's it may be, from one line."""
    subject = hashlib.blake2b(f"{line} {username}".encode("utf-8", "replace"), digest_size=16).hexdigest()
    return Limit("login", f"login {subject}", LOGINS_A_SECOND_MAX, _SECOND_S)


class RateLimiter:
    """Counts calls, together with all other processes on the same database."""

    def __init__(self, db: Database, *, subjects_max: int = SUBJECTS_MAX) -> None:
        self._db = db
        self._subjects_max = subjects_max
        self._purses: OrderedDict[str, _Purse] = OrderedDict()

    async def take(self, limits: Sequence[Limit]) -> list[Standing]:
        """Counts one call by all of the limits, or, where one has no room, by none of them; how it stands with each.

        Several limits are of a minute each. Raises Unavailable where the database does not answer.
        """
        if not limits:
            return []
        if len(limits) == 1 and limits[0].window_s == _SECOND_S:
            return [await self._from_purse(limits[0])]
        taken = await self._taken([Wanted(limit.subject, limit.at_most, limit.window_s, 1) for limit in limits])
        return [_standing(limit, taken[limit.subject]) for limit in limits]

    async def _from_purse(self, limit: Limit) -> Standing:
        purse = self._purses.get(limit.subject)
        if purse is None:
            purse = self._purses[limit.subject] = _Purse()
            if len(self._purses) > self._subjects_max:
                self._purses.popitem(last=False)
        if (standing := purse.spend(limit)) is not None:
            return standing
        async with purse.filling:
            # Whoever waited finds what the one before took.
            if (standing := purse.spend(limit)) is None:
                asked_at_s = boottime_s()
                wanted = Wanted(limit.subject, limit.at_most, limit.window_s, purse.wanted(limit))
                standing = purse.fill(limit, (await self._taken([wanted]))[limit.subject], asked_at_s)
            return standing

    async def _taken(self, wanted: Sequence[Wanted]) -> dict[str, Taken]:
        async with self._db.autocommit() as conn:
            return await limit_store.take(conn, wanted)


async def forget_windows(db: Database) -> int:
    """Clears away windows that ended a day ago; the keeper's chore. Returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await limit_store.forget(conn, FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)


class _Purse:
    """What a process took in advance of one subject's window."""

    __slots__ = ("_at_most", "_calls", "_ends_at", "_ends_s", "_room", "_spent", "filling")

    def __init__(self) -> None:
        self.filling = asyncio.Lock()
        self._at_most = 0
        self._calls = 0
        self._room = 1
        self._spent = 0
        # The window's end by this machine's clock, never later than it is: its length was reckoned when the answer was made, and
        # is counted from when it was asked for.
        self._ends_s = 0.0
        self._ends_at = 0.0

    def spend(self, limit: Limit) -> Standing | None:
        """Counts a call by what was taken in advance. None where more has to be taken first."""
        left_s = self._ends_s - boottime_s()
        if left_s <= 0 or limit.at_most != self._at_most:
            return None
        if self._calls:
            self._calls -= 1
            self._spent += 1
            return Standing(limit, self._calls + self._room, left_s, self._ends_at)
        # Where the window has no room until it ends, nobody is asked again before.
        return None if self._room else Standing(limit, 0, left_s, self._ends_at, is_over=True)

    def wanted(self, limit: Limit) -> int:
        """How many to take: a quarter of what was spent lately, so that what is lost stays a small part."""
        return min(limit.at_most, max(1, self._spent // 4))

    def fill(self, limit: Limit, taken: Taken, asked_at_s: float) -> Standing:
        """Puts in what was taken, and counts the call that it was taken for."""
        if taken.ends_at != self._ends_at:
            self._spent //= 2
            self._calls = 0
        self._at_most = limit.at_most
        self._calls += taken.given
        self._room = taken.room if taken.given else 0
        self._ends_at = taken.ends_at
        self._ends_s = asked_at_s + taken.ends_in_s
        if not self._calls:
            return Standing(limit, 0, taken.ends_in_s, taken.ends_at, is_over=True)
        # However long the answer took, the call was counted in the window that was asked.
        self._calls -= 1
        self._spent += 1
        return Standing(limit, self._calls + self._room, taken.ends_in_s, taken.ends_at)


def _standing(limit: Limit, taken: Taken) -> Standing:
    return Standing(limit, taken.room, taken.ends_in_s, taken.ends_at, is_over=not taken.given and not taken.room)


def least_left(standings: Sequence[Standing]) -> Standing:
    """The limit that a caller meets first: one that was passed, else that with the least left."""
    return min(standings, key=lambda one: (not one.is_over, one.remaining))
