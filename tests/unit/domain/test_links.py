import re
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from stentor.domain.links import UNSUBSCRIBE_TOKEN_CHARS, LinkSigner, UnsubscribeLink
from stentor.domain.vocabulary import ChannelKind

SIGNER = LinkSigner(b"a key of this installation")


@given(execution=st.uuids(), customer=st.uuids(), channel=st.sampled_from(ChannelKind))
def test_a_token_says_what_it_was_made_of(execution: UUID, customer: UUID, channel: ChannelKind):
    token = SIGNER.unsubscribe_token(execution, customer, channel)

    assert SIGNER.read_unsubscribe(token) == UnsubscribeLink(execution, customer, channel)
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{UNSUBSCRIBE_TOKEN_CHARS}}}", token)


def test_a_wave_gets_the_same_tokens_as_one_by_one_in_its_order():
    execution, customers = uuid4(), [uuid4() for _ in range(500)]

    tokens = SIGNER.unsubscribe_tokens(execution, customers, ChannelKind.SMS)

    assert tokens == [SIGNER.unsubscribe_token(execution, customer, ChannelKind.SMS) for customer in customers]
    assert SIGNER.unsubscribe_tokens(execution, [], ChannelKind.SMS) == []


@given(at=st.integers(0, UNSUBSCRIBE_TOKEN_CHARS - 1), character=st.sampled_from("AQgwBz09-_=+/ é\n"))
def test_a_token_with_one_character_changed_is_nobodys(at: int, character: str):
    token = SIGNER.unsubscribe_token(UUID(int=7), UUID(int=8), ChannelKind.EMAIL)
    changed = token[:at] + character + token[at + 1 :]

    assert (SIGNER.read_unsubscribe(changed) is None) == (changed != token)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_without_an_error(text: str):
    assert SIGNER.read_unsubscribe(text) is None


def test_another_key_does_not_read_our_tokens():
    token = SIGNER.unsubscribe_token(uuid4(), uuid4(), ChannelKind.EMAIL)

    assert LinkSigner(b"another key").read_unsubscribe(token) is None
