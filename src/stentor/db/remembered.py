"""What the database said less than a second ago: a small cache for rows that every call asks for and that rarely change."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from stentor.clock import boottime_s

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Loads a value per key and remembers it for `keep_s` from when it was asked for, at most `entries_max` of them.

    Callers who miss at the same moment share one load. "There is none" (a load that returns None) is remembered too, so
    that asking for what does not exist costs no more. A load that fails fails all who wait for it and is not remembered.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], *, keep_s: float, entries_max: int) -> None:
        self._load = load
        self._keep_s = keep_s
        self._entries_max = entries_max
        # In the order of their loading: what was loaded first goes first. To keep the order of use cost a trigger 5 %.
        self._entries: dict[K, _Entry[V]] = {}

    async def get(self, key: K) -> V:
        """The value, as it was at most `keep_s` before this call."""
        while (entry := self._entries.get(key)) is not None and boottime_s() - entry.asked_at_s < self._keep_s:
            if entry.value.done():
                return entry.value.result()
            try:
                return await asyncio.shield(entry.value)
            except _Abandoned:
                continue
        return await self._loaded(key)

    async def _loaded(self, key: K) -> V:
        self._entries.pop(key, None)
        entry = self._entries[key] = _Entry[V]()
        if len(self._entries) > self._entries_max:
            del self._entries[next(iter(self._entries))]
        try:
            value = await self._load(key)
        except BaseException as error:
            if self._entries.get(key) is entry:
                del self._entries[key]
            # Whoever loads may be cancelled (a client that hung up); those who wait for the same value then load it anew.
            entry.value.set_exception(error if isinstance(error, Exception) else _Abandoned())
            entry.value.exception()  # Marks it as seen: with nobody waiting, asyncio would complain about it.
            raise
        entry.value.set_result(value)
        return value


class _Entry(Generic[V]):
    __slots__ = ("asked_at_s", "value")

    def __init__(self) -> None:
        self.asked_at_s = boottime_s()
        self.value: asyncio.Future[V] = asyncio.get_running_loop().create_future()


class _Abandoned(Exception):
    """Whoever loaded the value was cancelled."""
