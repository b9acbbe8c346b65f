"""One SMTP connection as a stream: segments out, replies in, each reply given to whoever waits for it, and silence noticed."""

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from stentor.channels.smtp.replies import CLOSING, Garbage, Reply, ReplyReader, answer
from stentor.channels.smtp.transaction import Transaction
from stentor.failpoints import failpoint

RECEIVE_BYTES = 16 * 1024  # the replies to 100 messages; one buffer a connection, kept
WHOLE_BYTES_MAX = 64 * 1024
"""A payload up to here is one write. Of a larger one the end is kept back until the socket took the rest, so that a
connection lost before then is a definite no and at most one such message lies in our buffer."""

_TAIL_BYTES = 5  # "\r\n.\r\n"; of a BDAT chunk simply its last five bytes

Handler: TypeAlias = Callable[[Transaction, Reply], None]


class Conversation(asyncio.BufferedProtocol):
    """Takes an open connection over. What to say, and what a reply means, is the subclass's business."""

    def __init__(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.ended = False
        self._loop = loop
        self._transport = transport
        self._inbox = memoryview(bytearray(RECEIVE_BYTES))
        self._reader = ReplyReader()
        self._expected: deque[tuple[Handler, Transaction]] = deque()
        self._segment: list[bytes] = []
        self._segment_bytes = 0
        self._segments_sent = 0
        self._tail: tuple[Transaction, bytes] | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._heard_at = loop.time()
        # high=1: "paused" then means that the socket did not take all we wrote. 0 would pause TLS for ever.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    @abstractmethod
    def _speak(self) -> None:
        """Says what can be said now; called whenever a reply came or the socket has room again."""

    @abstractmethod
    def _patience_s(self) -> float:
        """How long the next reply may take, from now."""

    @abstractmethod
    def _timed_out(self) -> None:
        """The next reply did not come in time."""

    @abstractmethod
    def _over(self, why: str, in_flight: list[Transaction], *, all_refused: bool) -> None:
        """The connection is at its end; `all_refused`: the server said that it takes nothing of what is in flight."""

    def nudge(self) -> None:
        """There may be something to say: new messages wait."""
        if self.ended:
            return
        was_silent = not self._expected
        self._speak()
        if self._timer is None or (was_silent and self._expected):
            self._watch()

    def _say(self, command: bytes, then: Handler, transaction: Transaction) -> None:
        """Adds a command to the segment; `then` gets its reply."""
        self._segment.append(command)
        self._expected.append((then, transaction))

    def _say_payload(self, payload: bytes, transaction: Transaction) -> None:
        """Adds the last thing that a message needs: once this segment has left, the message may have been accepted.

        Ends the connection instead when the message must not leave any more.
        """
        if len(payload) > WHOLE_BYTES_MAX:
            self._segment.append(payload[:-_TAIL_BYTES])
            self._tail = transaction, payload[-_TAIL_BYTES:]
        elif not transaction.may_complete():
            self._give_up()
        else:
            self._segment.append(payload)
            self._segment_bytes += len(payload)
            transaction.body_segment = self._segments_sent + 1

    def _flush(self) -> None:
        """Sends what was said, in one write."""
        if self._segment:
            self._send(b"".join(self._segment))
            self._segment.clear()
            self._segment_bytes = 0
        if self._tail and not self._paused and not self._transport.is_closing():
            transaction, tail = self._tail
            self._tail = None
            if not transaction.may_complete():
                self._give_up()
                return
            transaction.body_segment = self._segments_sent + 1
            self._send(tail)

    def _send(self, segment: bytes) -> None:
        failpoint("smtp.before_write")
        self._transport.write(segment)
        failpoint("smtp.after_write")
        if not self._transport.is_closing():  # else the write failed: nothing of this segment reached the socket
            self._segments_sent += 1

    def _give_up(self) -> None:
        # Also what the segment holds of others: they go to another connection, if their waves are still ours.
        self._segment.clear()
        self._segment_bytes = 0
        self.end("another worker has taken the wave over")

    def _has_left(self, transaction: Transaction) -> bool:
        return 0 < transaction.body_segment <= self._segments_sent

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        if self.ended:
            return
        try:
            replies = self._reader.feed(bytes(self._inbox[:nbytes]))
        except Garbage as problem:
            self.end(f"the server sent {problem}")
            return
        failpoint("smtp.after_read")
        self._heard_at = self._loop.time()
        for reply in replies:
            self._answer(reply)
            if self.ended:
                return
        self._speak()
        if replies:
            self._watch()

    def _answer(self, reply: Reply) -> None:
        if reply[0] == CLOSING:
            self.end(answer(reply), all_refused=True)
        elif not self._expected:
            self.end(f"the server sent a reply that nothing had asked for: {answer(reply)}")
        else:
            handler, transaction = self._expected.popleft()
            handler(transaction, reply)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self.ended:
            self._flush()
            self._speak()

    def eof_received(self) -> None:
        self.end("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"the connection was lost: {exc}" if exc else "the connection was closed")
        if not self.closed.done():
            self.closed.set_result(None)

    def end(self, why: str, *, all_refused: bool = False) -> None:
        """Drops the connection and accounts for what is in flight on it."""
        if self.ended:
            return
        self._stop()
        self._transport.abort()
        in_flight = list(dict.fromkeys(transaction for _, transaction in self._expected))
        self._expected.clear()
        self._over(why, in_flight, all_refused=all_refused)

    def leave(self) -> None:
        """Says QUIT and closes; for a connection with nothing in flight."""
        if self.ended:
            return
        self._stop()
        self._transport.write(b"QUIT\r\n")
        self._transport.close()
        self._over("idle", [], all_refused=False)

    def close(self, why: str) -> None:
        """Leaves, or drops what is in flight for that reason."""
        if self._expected:
            self.end(why)
        else:
            self.leave()

    def _stop(self) -> None:
        self.ended = True
        if self._timer:
            self._timer.cancel()

    def _watch(self) -> None:
        """Restarts the wait for the next reply. One timer serves all, moved only when it fires too early."""
        self._deadline = self._loop.time() + self._patience_s()
        if self._timer and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and not self.ended:
            self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._loop.time() >= self._deadline:
            self._timed_out()
        else:
            self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)
