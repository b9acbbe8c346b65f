"""The sink stores every message before it says so, in every dialogue, within its bounds."""

import asyncio
import socket
from pathlib import Path

import pytest

from stentor.channels.contract import Accepted, Deferred
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_local import SinkProcess, local_channel

pytestmark = pytest.mark.anyio

WITHOUT = pytest.mark.parametrize(
    "without", [(), ("CHUNKING",), ("CHUNKING", "PIPELINING")], ids=["chunked", "pipelined", "in step"]
)


@WITHOUT
async def test_the_store_has_every_message_byte_for_byte(tmp_path: Path, without: tuple[str, ...]) -> None:
    messages = [
        mail(number, f"person{number}@example.com", body=b".\r\n..dots" + b"x" * number + b"\r\n")
        for number in range(1000)
    ]
    with SinkProcess(tmp_path / "store", without=without) as sink:
        async with local_channel(sink.port) as channel:
            outcomes = await channel.hand_over(wave_of(), messages)
        stored = {found.recipient: (found.message_id, sink.body(found)) for found in sink.stored()}
        counts = sink.stop()

    assert set(outcomes) == {Accepted()}
    assert stored == {message.address: (f"{message.send_id}@example.com", message.raw) for message in messages}
    assert counts == {"messages": 1000, "bytes": sum(len(message.raw) for message in messages)}


@WITHOUT
async def test_large_messages_and_small_ones_share_a_connection(tmp_path: Path, without: tuple[str, ...]) -> None:
    messages = [
        mail(number, f"person{number}@example.com", body=b"y" * 70 + b"\r\n" * (number % 3 * 100_000))
        for number in range(12)
    ]
    with SinkProcess(tmp_path / "store", without=without) as sink:
        async with local_channel(sink.port, connections_max=2) as channel:
            outcomes = await channel.hand_over(wave_of(), messages)
        sizes = {found.recipient: found.size for found in sink.stored()}

    assert set(outcomes) == {Accepted()}
    assert sizes == {
        message.address: len(message.raw) + (0 if message.raw.endswith(b"\n") else 2) for message in messages
    }


async def test_a_full_store_defers(tmp_path: Path) -> None:
    with SinkProcess(tmp_path / "store", store_bytes_max=500) as sink:
        async with local_channel(sink.port, connections_max=1) as channel:
            outcomes = await channel.hand_over(wave_of(), [mail(0, "ann@example.com")] * 5)

    assert Accepted() in outcomes
    assert outcomes[-1] == Deferred("452 4.3.1 the store is full")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"NOOP\r\n", b"250"),
        (b"WHAT\r\n", b"500"),
        (b"DATA\r\n", b"503"),
        (b"BDAT 3 LAST\r\nabc", b"503"),
        (b"BDAT 99999999 LAST\r\n", b"552"),
        (b"RCPT TO:nobody\r\n", b"501"),
        (b"x" * 5000, b"500"),
        (b"QUIT\r\n", b"221"),
    ],
)
async def test_other_commands_have_their_answers(said: bytes, answer: bytes) -> None:
    with SinkProcess() as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        await reader.readline()
        writer.write(said)
        reply = await reader.readline()
        writer.close()

    assert reply[:3] == answer


async def test_a_message_in_several_chunks_is_one_message(tmp_path: Path) -> None:
    dialogue = b"MAIL FROM:<>\r\nRCPT TO:<ann@example.com>\r\nBDAT 6\r\nHello BDAT 7 LAST\r\nworld\r\n"
    with SinkProcess(tmp_path / "store") as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(dialogue)
        replies = [await reader.readline() for _ in range(5)]
        writer.close()
        (stored,) = sink.stored()
        body = sink.body(stored)

    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"250"]
    assert body == b"Hello world\r\n"


async def test_a_client_that_never_reads_blocks_nobody() -> None:
    with SinkProcess() as sink, socket.create_connection(("127.0.0.1", sink.port)) as deaf:
        deaf.settimeout(0.5)
        with pytest.raises(TimeoutError):
            deaf.sendall(b"NOOP\r\n" * 10_000_000)
        async with local_channel(sink.port) as channel:
            outcomes = await channel.hand_over(wave_of(), [mail(0, "ann@example.com")])

    assert outcomes == [Accepted()]
