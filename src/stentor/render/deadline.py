"""Previews under a deadline, in a child process that can be killed: an author's template is a stranger's program.

The child is kept from one preview to the next, because to start it takes longer than a preview may. Its memory is
bounded, and whatever happens to it, the next preview has a new one.
"""

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from typing import IO

from stentor.errors import Unprocessable
from stentor.render.errors import TemplateInvalid
from stentor.render.preview import Preview, PreviewRequest
from stentor.render.preview_child import LENGTH, Refused, decode_answer, encode_request

PREVIEW_DEADLINE_S = 0.25
START_DEADLINE_S = 20.0

_READ_BYTES = 1 << 16


class PreviewStopped(Unprocessable):
    """The preview was stopped: it took too long, or too much memory."""

    code = "preview-stopped"
    title = "The preview was stopped"


class PreviewProcess:
    """Renders previews in a child process, one at a time; safe to call from several threads."""

    def __init__(self, deadline_s: float = PREVIEW_DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def preview(self, request: PreviewRequest) -> Preview:
        """As `stentor.render.preview.preview`; blocks for a quarter of a second at most, after a start of the child.

        Raises TemplateInvalid for a template that cannot be published, and PreviewStopped for one that goes on too long.
        """
        with self._lock:
            child = self._running()
            try:
                child.send(encode_request(request))
                answer = decode_answer(child.receive(self._deadline_s))
            except _TooLate:
                self._end()
                raise PreviewStopped(
                    f"The preview took longer than {self._deadline_s * 1000:.0f} ms; make the template do less."
                ) from None
            except _Gone:
                self._end()
                raise PreviewStopped(
                    "The preview ended half-way, for want of memory; make the template do less."
                ) from None
        if isinstance(answer, Refused):
            raise TemplateInvalid(answer.part, answer.message, line=answer.line)
        return answer

    def close(self) -> None:
        """Ends the child, if there is one."""
        with self._lock:
            self._end()

    def _running(self) -> "_Child":
        if self._child is None or not self._child.is_alive:
            self._end()
            self._child = _Child()
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _TooLate(Exception):
    """The child did not answer in time."""


class _Gone(Exception):
    """The child ended instead of answering."""


class _Child:
    """The process and its two pipes, on which each message stands behind its length."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "stentor.render.preview_child"]
        # A session of its own: a Ctrl-C in the terminal is for us, and then we close its pipe.
        self._process = subprocess.Popen(  # noqa: S603  our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        self._requests, self._answers = _open(self._process.stdin), _open(self._process.stdout)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        try:
            self.receive(START_DEADLINE_S)
        except (_TooLate, _Gone) as error:
            self.kill()
            raise RuntimeError(
                "The process for previews does not start; try `python -m stentor.render.preview_child`."
            ) from error

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: bytes) -> None:
        left = memoryview(LENGTH.pack(len(message)) + message)
        try:
            while left:
                left = left[self._requests.write(left) or 0 :]
        except BrokenPipeError:
            raise _Gone from None

    def receive(self, deadline_s: float) -> bytes:
        """The next message. Raises _TooLate and _Gone."""
        until = time.monotonic() + deadline_s
        (length,) = LENGTH.unpack(self._read(LENGTH.size, until))
        return self._read(length, until)

    def _read(self, size: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise _TooLate
            read = os.read(self._answers.fileno(), min(size - len(found), _READ_BYTES))
            if not read:
                raise _Gone
            found += read
        return bytes(found)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("The child was started without pipes.")
    return pipe
