import random

import pytest

from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.bulk import Asked, Checked
from stentor.optouts.hashing import HashName, digest_of

PLAIN = [f"person.{number}@example{number % 7}.com" for number in range(200)]
ODD = [
    *(
        "ANN@Example.Com",
        " ann@example.com ",
        "ann@example.com\r",
        "ann@exa-mple.co.uk",
        "+49 1511 2345678",
        "@example.com",
    ),
    *(
        "ann@bücher.example",
        "ann@xn--bcher-kva.example",
        "ann@b--r.example",
        "ann@-b.example",
        "ann@example",
        "ann@1.2",
    ),
    *("a..b@example.com", ".a@example.com", "a.@example.com", "a@@example.com", "a b@example.com", "@", "", "\n"),
    *(
        "ann@example.com\nben@example.com",
        "ann\n@example.com",
        "ann@example.com\n",
        "K@example.com",
        "ann@example.com\0",
    ),
    *(
        "x" * 64 + "@example.com",
        "x" * 65 + "@example.com",
        f"ann@{'b' * 63}.com",
        "\ud800@example.com",
        "İ@example.com",
    ),
    *("d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427"),
]
LISTED = [*PLAIN[::3], *(text for text in ODD if "\ud800" not in text), "@example1.com"]
HELD = {digest_of(text, name) for text in LISTED for name in ("md5", "sha256")}


def answers(texts: list[str], channels: int, name: HashName) -> list[Checked]:
    asked = Asked(channels, name)
    asked.add(texts)
    assert len(asked.digests) == len(texts)
    return asked.answers(HELD)


@pytest.mark.parametrize("name", ["md5", "sha256"])
@pytest.mark.parametrize("channels", [2, 4, 6])
def test_a_text_among_many_is_what_it_is_alone(channels: int, name: HashName):
    texts = random.Random(channels).choices(PLAIN, k=300) + ODD * 2
    random.Random(channels).shuffle(texts)
    without_ends = [text for text in texts if "\n" not in text]

    alone = {text: answers([text], channels, name)[0] for text in (*PLAIN, *ODD)}

    for many in (texts, without_ends, PLAIN):
        assert answers(many, channels, name) == [alone[text] for text in many]


def test_plain_addresses_are_found_by_themselves_and_by_their_domain():
    found = answers([PLAIN[3], PLAIN[4], PLAIN[8]], ChannelKind.EMAIL.bit, "md5")

    assert [one.form and one.form.name for one in found] == ["ADDRESS", None, "DOMAIN"]
