from datetime import UTC, datetime
from uuid import UUID

import pytest

from sandbox_letters import SEND_IDS, deliver, wave_for
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.chaos import ChaosSource
from stentor.channels.sandbox.content import content_of
from stentor.channels.sandbox.inbox import InboxService
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.messages import compile_message
from stentor.render.skeleton import Rendered, reassemble

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 22, 17, 48, tzinfo=UTC)
PARTS = {
    ChannelKind.EMAIL: {
        "subject": "Kick-off for {{ customer.first_name }}",
        "html": "<p>Hällo {{ customer.first_name }}, {{ context.match }}</p>",
        "text": "Hällo {{ customer.first_name }}",
    },
    ChannelKind.SMS: {"text": "Hi {{ customer.first_name }}: {{ context.match }}"},
    ChannelKind.PUSH: {"title": "For {{ customer.first_name }}", "body": "{{ context.match }}"},
    ChannelKind.VOICE: {"script": "Good evening, {{ customer.first_name }}."},
    ChannelKind.WEBHOOK: {"body": '{"name": "{{ customer.first_name }}"}'},
}


def rendered(brand_id: UUID, channel: ChannelKind, names: list[str]) -> list[Rendered]:
    """A message for each person, as the deliverer gets them."""
    execution_id = new_id()
    bound = compile_message(channel, PARTS[channel], {}).bind(
        context={"match": "49ers – Chiefs"},
        brand={"name": "Matchday"},
        sender=MailSender("hello@example.net", "Matchday"),
    )
    return [
        bound.render(
            {"first_name": name},
            send_id=SEND_IDS.encode(execution_id, customer_id(brand_id, name), channel),
            address=f"{name.lower()}@example.com",
            at=AT,
            unsubscribe_url="https://example.net/u/x",
        )
        for name in names
    ]


@pytest.mark.parametrize("channel", PARTS)
async def test_what_was_rendered_comes_out_byte_for_byte(db: Database, brand_id: UUID, channel: ChannelKind):
    messages = rendered(brand_id, channel, ["Ann", "Zoë", "O'Neil", "<b>", "مريم"])
    inbox = InboxService(db, SEND_IDS, reassemble)

    await deliver(db, SandboxChannel(db, ChaosSource(db)), wave_for(brand_id, channel), messages)

    for message in messages:
        stored = await inbox.get(brand_id, message.send_id)
        assert stored.raw == message.wire()
        assert stored.entry.subject


async def test_a_rendered_mail_is_listed_by_its_subject_and_read_as_it_was_written(db: Database, brand_id: UUID):
    (message,) = rendered(brand_id, ChannelKind.EMAIL, ["Zoë"])
    inbox = InboxService(db, SEND_IDS, reassemble)

    await deliver(db, SandboxChannel(db, ChaosSource(db)), wave_for(brand_id), [message])

    (entry,) = (await inbox.page(brand_id, search="zoë")).entries
    content = content_of(entry.channel, (await inbox.get(brand_id, entry.id)).raw)
    assert entry.subject == "Kick-off for Zoë"
    assert content.html is not None
    assert content.html.strip() == "<p>Hällo Zoë, 49ers – Chiefs</p>"
    assert content.text.strip() == "Hällo Zoë"
