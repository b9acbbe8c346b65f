"""What cannot wait is in the next request, whatever a blast has queued before it."""

import pytest

from stentor.channels.open_waves import OpenWave
from stentor.channels.webhook.letters import Letter, WaitingLetters
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.testing.channels import PlainMessage, wave_of

pytestmark = pytest.mark.anyio


async def test_letters_of_an_earlier_lane_leave_before_those_that_wait():
    waiting = WaitingLetters()
    for lane in (Lane.BULK, Lane.ALERT, Lane.TRANSACTIONAL, Lane.BULK):
        messages = [PlainMessage(f"{lane.label}-{number}", "a@example.com", b"{}") for number in range(2)]
        waiting.add(OpenWave(Letter, wave_of(ChannelKind.WEBHOOK, lane=lane), messages))

    taken = [letter.send_id for letter in waiting.take(8)]

    assert taken == [
        *("transactional-0", "transactional-1", "alert-0", "alert-1"),
        *("bulk-0", "bulk-1", "bulk-0", "bulk-1"),
    ]
