"""Clearing up batch by batch, so that no transaction is long."""

from collections.abc import Awaitable, Callable


async def until_short(step: Callable[[], Awaitable[int]], batch: int) -> int:
    """Takes steps, each a transaction over at most `batch` rows, until one finds fewer; returns how many rows that were."""
    done = 0
    while True:
        rows = await step()
        done += rows
        if rows < batch:
            return done
