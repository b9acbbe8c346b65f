"""Somebody in front of the server who looks like a pooler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@asynccontextmanager
async def pretended_pooler(dsn: str, directory: Path) -> AsyncIterator[str]:
    """In front of the server, telling clients a process id that is no server process's, as PgBouncer does."""
    facts = conninfo_to_dict(dsn)
    socket = f"{facts['host']}/.s.PGSQL.{facts.get('port') or 5432}"

    async with asyncio.TaskGroup() as pumps:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream_reader, upstream_writer = await asyncio.open_unix_connection(socket)
            pumps.create_task(_pump(reader, upstream_writer))
            pumps.create_task(_pump(upstream_reader, writer, disguise=True))

        async with await asyncio.start_unix_server(relay, directory / ".s.PGSQL.5432"):
            yield make_conninfo(dsn, host=str(directory), port=5432)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, disguise: bool = False) -> None:
    while data := await reader.read(65536):
        # BackendKeyData: "K", the length 12, the process id, the secret.
        position = data.find(b"K\x00\x00\x00\x0c") if disguise else -1
        if position >= 0:
            data = data[: position + 5] + b"\x7f\xff\xff\xff" + data[position + 9 :]
            disguise = False
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()
