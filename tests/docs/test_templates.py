"""docs/templates.md names the parts, names, filters and tags that there are; its commands are run with those of docs/start.md."""

import re

from documents import ROOT
from stentor.campaigns.content import BRAND_FIELDS
from stentor.domain.vocabulary import ChannelKind
from stentor.render.environment import environment
from stentor.render.messages import PARTS
from stentor.render.publishing_rule import SYSTEM_FIELDS
from stentor.render.scope import RESERVED_NAMES

PAGE = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
# The text between tags, what `{{ … }}` is, and what no template may use.
NO_TAGS_OF_AUTHORS = {"content", "illegal", "output", "include", "render"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([\w#.…]+)`", text))


def test_every_part_of_every_channel_is_listed():
    listed: dict[ChannelKind, tuple[set[str], set[str]]] = {}
    for channels, needed, wanted in re.findall(r"^\| (`.*?) \| (.*?) \| ?(.*?) ?\|$", section("Parts"), re.MULTILINE):
        for channel in quoted(channels):
            listed[ChannelKind.named(channel)] = quoted(needed), quoted(wanted)

    email = listed.pop(ChannelKind.EMAIL)
    assert email == ({"subject", "html", "mjml"}, {"preheader", "text"})
    assert listed == {
        channel: (set(names.required), {*names.optional, *(["data.…"] if names.data else [])})
        for channel, names in PARTS.items()
        if channel is not ChannelKind.EMAIL
    }


def test_every_name_is_listed():
    rows = dict(re.findall(r"^\| (`.*?) \| (.*?) \|$", section("Names"), re.MULTILINE))

    assert {name.removesuffix(".x") for shown in rows for name in quoted(shown)} == RESERVED_NAMES
    assert quoted(rows["`customer.x`"]) - {"x"} == set(SYSTEM_FIELDS)
    assert quoted(rows["`brand.x`"]) == set(BRAND_FIELDS)


def test_every_filter_is_listed():
    own = re.findall(r"^\| `(\w+)` \|", section("Filters"), re.MULTILINE)
    standard = re.findall(r"`(\w+)`", section("Filters").partition("Of standard Liquid")[2])

    assert sorted(own + standard) == sorted(environment(autoescape=False).filters)


def test_every_tag_is_listed():
    listed = quoted(section("Tags").partition("A template stands alone")[0])

    assert listed - {"raw"} == environment(autoescape=False).tags.keys() - NO_TAGS_OF_AUTHORS
