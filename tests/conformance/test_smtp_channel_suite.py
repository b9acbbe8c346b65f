"""The SMTP channel passes the suite of all channels, on servers of every ability."""

from collections.abc import AsyncIterator, Sequence

import pytest

from stentor.channels.smtp.sender import SmtpChannel
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import Answer, ChannelSuite, PlainMessage, Rig, mail
from stentor.testing.far_side import Then
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import EXTENSIONS, At, Fault

pytestmark = pytest.mark.anyio


class SmtpRig:
    kind = ChannelKind.EMAIL
    answers_known = frozenset(Answer)

    def __init__(self, server: FaultyServer, channel: SmtpChannel) -> None:
        self.channel = channel
        self._server = server

    def message(self, number: int, address: str) -> PlainMessage:
        return mail(number, address)

    async def set_answer(self, address: str, answer: Answer) -> None:
        self._server.record.faults.append(_fault(address, answer))

    async def taken(self) -> Sequence[str]:
        return self._server.record.recipients

    async def held(self) -> bool:
        return self._server.record.holding > 0

    async def release(self) -> None:
        self._server.record.release()


def _fault(address: str, answer: Answer) -> Fault:
    match answer:
        case Answer.DEFER:
            return Fault(at=At.FINAL, to=address, say="451 4.3.0 try again later")
        case Answer.REFUSE:
            return Fault(at=At.FINAL, to=address, say="554 5.7.1 we do not like the content")
        case Answer.BAD_ADDRESS:
            return Fault(at=At.RCPT, to=address, say="550 5.1.1 no such user")
        case Answer.LOSE_REPLY:
            return Fault(at=At.FINAL, to=address, then=Then.CUT, takes=True)
        case Answer.HOLD:
            return Fault(at=At.FINAL, to=address, held=True)


@pytest.mark.parametrize(
    "without", [set(), {"CHUNKING"}, {"CHUNKING", "PIPELINING"}], ids=["chunked", "pipelined", "in step"]
)
class TestSmtpChannel(ChannelSuite):
    @pytest.fixture
    async def rig(self, without: set[str]) -> AsyncIterator[Rig]:
        async with FaultyServer(offers=EXTENSIONS - without) as server:
            async with local_channel(server.port) as channel:
                yield SmtpRig(server, channel)
            assert server.record.improper == 0
            assert server.record.strays == []
