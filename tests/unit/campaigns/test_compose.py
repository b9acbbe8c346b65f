"""From a publication to messages."""

import email
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from stentor.campaigns.compose import BOUND_CHARS_MAX, CampaignRenderers, UnusableMessage
from stentor.campaigns.model import Publication, PublishedContent, PublishedRoute, PublishedVariant
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.errors import RenderError

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS


def _route(channel: ChannelKind, **variants: dict[str, str]) -> PublishedRoute:
    return PublishedRoute(
        channel=channel,
        sender_id=UUID(int=3),
        template_id=UUID(int=1),
        template_name="Match starts",
        template_version=1,
        variants=tuple(PublishedVariant(language, parts) for language, parts in variants.items()),
    )


def _publication(*routes: PublishedRoute, basis: Any = "topic", bindings: dict[str, str] | None = None) -> Publication:
    content = PublishedContent(
        campaign_id=UUID(int=2),
        campaign_name="Match day",
        consent_basis=basis,
        mode="all",
        lane="bulk",
        routes=routes,
        bindings=bindings or {},
        context_schema=None,
        brand={"name": "Goal Rush"},
        policy=CampaignPolicy(),
        mail_sender=MailSender("no-reply@sandbox.invalid", "Goal Rush"),
    )
    return Publication(new_id(), UUID(int=9), content)


MAIL = _route(EMAIL, en={"subject": "{{ match }}", "html": "<p>{{ customer.name }}</p>", "text": "{{ customer.name }}"})


def _sent(renderers: CampaignRenderers, publication: Publication, channel: ChannelKind, **context: Any) -> EmailMessage:
    bound = renderers.bind(publication, channel, 0, new_id(), context)
    message = bound.render(
        {"name": "Ann"},
        send_id="send",
        address="ann@example.net",
        at=AT,
        unsubscribe_url="https://brand.example/u/x",
    )
    return email.message_from_bytes(message.wire(), policy=policy.default)


def test_a_message_has_its_contexts_its_persons_and_its_senders_words():
    publication = _publication(MAIL, bindings={"match": "context.match"})

    letter = _sent(CampaignRenderers(), publication, EMAIL, match="A vs B")

    assert letter["Subject"] == "A vs B"
    assert letter["From"] == "Goal Rush <no-reply@sandbox.invalid>"
    assert letter["List-Unsubscribe"] == "<https://brand.example/u/x>"
    assert [part.get_content().strip() for part in letter.iter_parts()] == ["Ann", "<p>Ann</p>"]


def test_a_transactional_mail_offers_no_unsubscribing():
    letter = _sent(
        CampaignRenderers(), _publication(MAIL, basis="none", bindings={"match": "context.match"}), EMAIL, match="A"
    )

    assert letter["List-Unsubscribe"] is None


def test_each_variant_says_its_own():
    publication = _publication(_route(SMS, en={"text": "Soon"}, de={"text": "Gleich"}))
    renderers, execution_id = CampaignRenderers(), new_id()

    texts = [
        renderers.bind(publication, SMS, variant, execution_id, {})
        .render({}, send_id="send", address="+14155550123", at=AT)
        .wire()
        for variant in (0, 1)
    ]

    assert texts == [b"Soon", b"Gleich"]


def test_executions_share_what_was_compiled_and_waves_what_was_bound():
    publication = _publication(_route(SMS, en={"text": "{{ context.match }} for {{ customer.name }}"}))
    renderers, first, second = CampaignRenderers(), new_id(), new_id()

    bound = renderers.bind(publication, SMS, 0, first, {"match": "A"})
    other = renderers.bind(publication, SMS, 0, second, {"match": "B"})

    assert renderers.bind(publication, SMS, 0, first, {"match": "A"}) is bound
    texts = [one.render({"name": "Ann"}, send_id="s", address="+1", at=AT).wire() for one in (bound, other)]
    assert texts == [b"A for Ann", b"B for Ann"]
    assert len(renderers._compiled._values) == 1


def test_what_is_bound_to_large_contexts_is_kept_as_long_as_there_is_room_and_to_own_ones_not_at_all():
    publication = _publication(_route(SMS, en={"text": "{{ context.match }}"}))
    renderers, own = CampaignRenderers(), CampaignRenderers()
    large: dict[str, Any] = {"match": "A", "more": [[]] * 20_000}

    for _ in range(300):
        renderers.bind(publication, SMS, 0, new_id(), large)
        own.bind(publication, SMS, 0, None, large)

    assert 0 < len(renderers._bound._values) * len(str(large)) <= BOUND_CHARS_MAX
    assert not own._bound._values


def test_a_template_that_this_version_refuses_fails_its_messages_and_not_the_worker():
    publication = _publication(_route(SMS, en={"text": "{{ x | gone_since }}"}), bindings={"x": "context.x"})

    bound = CampaignRenderers().bind(publication, SMS, 0, new_id(), {})

    assert isinstance(bound, UnusableMessage)
    with pytest.raises(RenderError, match="text: "):
        bound.render({}, send_id="s", address="+1", at=AT)


def test_a_channel_without_a_route_is_a_mistake():
    with pytest.raises(LookupError):
        _publication(MAIL).content.wording(SMS, 0)
