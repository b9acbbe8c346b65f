import pytest

from stentor.console.links import LINKS_MAX, Link, links_in


def test_links_are_told_in_their_order_with_what_they_say():
    html = (
        '<p>x <a href="https://example.com/a?b=1&amp;c=2">Watch <b>live</b>\n now</a> <a href=" mailto:x@y ">write</a>'
    )

    assert links_in(html) == [
        Link("Watch live now", "https://example.com/a?b=1&c=2", can_be_followed=True),
        Link("write", "mailto:x@y", can_be_followed=True),
    ]


def test_a_picture_says_its_alternative_text():
    assert links_in('<a href="https://x.example"><img src="y" alt="Logo"></a>') == [
        Link("Logo", "https://x.example", can_be_followed=True)
    ]


@pytest.mark.parametrize(
    "href",
    ["javascript:alert(1)", "JavaScript:x", "data:text/html,x", "vbscript:x", "/relative", "http://[", "file:///x"],
)
def test_a_link_to_no_place_of_the_web_is_not_to_be_followed(href: str):
    (link,) = links_in(f'<a href="{href}">x</a>')

    assert not link.can_be_followed


@pytest.mark.parametrize(
    "html", ["", "<a>x</a>", "<a href>x</a>", "<a href=''>x</a>", "</a><", "<!-- <a href='x'> -->"]
)
def test_what_leads_nowhere_is_no_link(html: str):
    assert links_in(html) == []


def test_links_that_are_not_closed_end_at_the_next_one():
    found = links_in("<a href='https://a.example'>one <a href='https://b.example'>two")

    assert [(link.text, link.href) for link in found] == [("one", "https://a.example"), ("two", "https://b.example")]


def test_no_more_links_are_told_than_a_page_can_hold():
    assert len(links_in("<a href='https://x.example'>x</a>" * 500)) == LINKS_MAX
