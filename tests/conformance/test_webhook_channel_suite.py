"""The webhook channel passes the suite of all channels, one by one and in batches."""

from collections.abc import AsyncIterator, Sequence

import pytest

from stentor.channels.webhook.sender import WebhookChannel
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import Answer, ChannelSuite, PlainMessage, Rig
from stentor.testing.far_side import Then
from stentor.testing.http_local import local_webhooks, webhook
from stentor.testing.http_script import Fault
from stentor.testing.http_sink import HttpProvider

pytestmark = pytest.mark.anyio


class WebhookRig:
    kind = ChannelKind.WEBHOOK
    answers_known = frozenset(Answer) - {Answer.BAD_ADDRESS}

    def __init__(self, provider: HttpProvider, channel: WebhookChannel) -> None:
        self.channel = channel
        self._provider = provider

    def message(self, number: int, address: str) -> PlainMessage:
        return webhook(number, address)

    async def set_answer(self, address: str, answer: Answer) -> None:
        self._provider.record.faults.append(fault_for(address, answer))

    async def taken(self) -> Sequence[str]:
        return self._provider.record.recipients

    async def held(self) -> bool:
        return self._provider.record.holding > 0

    async def release(self) -> None:
        self._provider.record.release()


def fault_for(address: str, answer: Answer) -> Fault:
    match answer:
        case Answer.DEFER:
            return Fault(to=address, status=500, body="try again later", alone=True)
        case Answer.REFUSE:
            return Fault(to=address, status=422, body="we do not like the content", alone=True)
        case Answer.LOSE_REPLY:
            return Fault(to=address, then=Then.CUT)
        case Answer.HOLD:
            return Fault(to=address, held=True)
        case Answer.BAD_ADDRESS:
            raise ValueError("A webhook has no address.")


class TestWebhookChannel(ChannelSuite):
    @pytest.fixture(params=[1, 10], ids=["one by one", "in batches"])
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
        async with HttpProvider() as provider, local_webhooks(provider.port, batch_max=request.param) as channel:
            yield WebhookRig(provider, channel)
