"""Ten thousand addresses are read another way than one, and mean the same."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from stentor.domain.address import InvalidAddress
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.bulk import read_all
from stentor.optouts.entries import read_entry
from stentor.optouts.hashing import HASH_NAMES, HashName, digest_of, forms_of

CHANNELS = (ChannelKind.EMAIL.bit, ChannelKind.SMS.bit, ChannelKind.EMAIL.bit | ChannelKind.SMS.bit)
LOCALS = st.sampled_from(["ann", "Ann.B", "a+b", ".a", "a..b", "\u212a", "\u0130x", "a b", "", '"q q"', "x" * 65])
HOSTS = st.sampled_from(
    [
        "example.com",
        "EXAMPLE.com",
        "ex\u00e4mple.com",
        "xn--exmple-cua.com",
        "b\u00fccher.example",
        "a..b",
        "com",
        "a-b.co",
        "1.2.3.4",
    ]
)
TEXTS = st.one_of(
    st.tuples(LOCALS, HOSTS).map("@".join),
    HOSTS.map("@{}".format),
    st.from_regex(r"\+?[0-9]{5,17}", fullmatch=True),
    st.sampled_from([32, 40, 64, 128]).map(lambda size: "aB" * (size // 2)),
    st.text(max_size=20),
    st.tuples(LOCALS, HOSTS).map(" {0[0]}@{0[1]}\r\n".format),
)


@given(texts=st.lists(TEXTS, max_size=20), channels=st.sampled_from(CHANNELS), name=st.sampled_from(HASH_NAMES))
def test_each_text_is_held_by_what_holds_it_alone(texts: list[str], channels: int, name: HashName):
    asked = asyncio.run(read_all(texts, channels, name))

    for place, text in enumerate(texts):
        entry = read_entry(text, channels, name)
        if isinstance(entry, InvalidAddress):
            assert asked.answers({*asked.digests, *asked.more})[place].refusal == entry.reason
            continue
        forms = list(forms_of(entry.text, entry.channel)) if entry.hash is None else []
        assert asked.digests[place] == entry.digest
        for form, one in forms:
            digest = digest_of(one, name)
            assert digest == asked.digests[place] or digest in asked.more
            assert asked.answers({digest})[place].form == form
        assert asked.answers(set())[place].form is None
