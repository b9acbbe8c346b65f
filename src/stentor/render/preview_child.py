"""The child's side of `stentor.render.deadline`: reads requests, renders previews, writes answers, until its input ends."""

import resource
import struct
import sys
from typing import IO, TypeAlias

import msgspec

from stentor.render.errors import TemplateInvalid
from stentor.render.preview import Preview, PreviewRequest, preview

LENGTH = struct.Struct("!I")
READY = b"ready"
MEMORY_BYTES_MAX = 1 << 30


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The template cannot be published."""

    part: str
    message: str
    line: int | None


class _Rendered(msgspec.Struct, frozen=True, tag=True):
    preview: Preview


Answer: TypeAlias = Preview | Refused


def encode_request(request: PreviewRequest) -> bytes:
    return msgspec.msgpack.encode(request)


def decode_answer(message: bytes) -> Answer:
    answer = msgspec.msgpack.decode(message, type=_Rendered | Refused)
    return answer if isinstance(answer, Refused) else answer.preview


def answer_to(message: bytes) -> bytes:
    """The answer to one encoded request."""
    request = msgspec.msgpack.decode(message, type=PreviewRequest)
    try:
        answer: _Rendered | Refused = _Rendered(preview(request))
    except TemplateInvalid as error:
        answer = Refused(error.part, error.message, error.line)
    return msgspec.msgpack.encode(answer)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _write(answers, READY)
    while size := requests.read(LENGTH.size):
        _write(answers, answer_to(requests.read(*LENGTH.unpack(size))))


def _write(answers: IO[bytes], message: bytes) -> None:
    answers.write(LENGTH.pack(len(message)) + message)
    answers.flush()


if __name__ == "__main__":
    main()
