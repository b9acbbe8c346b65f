"""What there is to say of a message as somebody would get it."""

import pytest

from stentor.campaigns.message_checks import CLIPPED_BYTES_MAX, TOLD_MAX, MessageCheck, link_complaint, message_checks
from stentor.domain.vocabulary import ChannelKind

EMAIL, SMS, PUSH = ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.PUSH


def told(kind: ChannelKind, shown: dict[str, str], source: dict[str, str] | None = None) -> dict[str, MessageCheck]:
    return {check.code: check for check in message_checks(kind, shown if source is None else source, shown)}


@pytest.mark.parametrize(
    ("href", "complaint"),
    [
        ("", "leads nowhere"),
        (" # ", "leads nowhere"),
        ("#top", None),
        ("https://example.org/a?b=c#d", None),
        ("HTTPS://EXAMPLE.ORG", None),
        (" https://example.org ", None),
        ("http://example.org", "is not encrypted; write https"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://intranet/x", "names the host intranet, which is known in no other place"),
        ("https://[::1", "is no address that can be read"),
        ("https://example.org:port/", "is no address that can be read"),
        ("https://example.org/a b", "has blanks in it"),
        ("www.example.org/x", "has no https:// in front, so that it leads nowhere"),
        ("/sale", "is not whole: a message has no site, so that it leads nowhere"),
        ("sale.html", "has no https:// in front, so that it leads nowhere"),
        ("mailto:a@example.org", None),
        ("tel:+358", None),
        ("JavaScript:alert(1)", "begins with javascript:, which no reader's program opens"),
        ("data:text/html,x", "begins with data:, which no reader's program opens"),
        ("myapp://sale", "begins with myapp:, which few mail programs open"),
    ],
)
def test_a_link_leads_somewhere_or_it_is_told_why_not(href: str, complaint: str | None):
    assert link_complaint(EMAIL, href) == complaint


def test_an_app_opens_links_of_its_own():
    assert link_complaint(PUSH, "myapp://sale") is None
    assert link_complaint(PUSH, "file:///etc/passwd") is not None


def test_links_and_pictures_are_told_with_their_lines():
    source = {"subject": "s", "html": 'Hi\n<a href="/sale">x</a>\n<a href="{{ context.url }}"><img src="a.png"></a>'}
    shown = {"subject": "s", "html": source["html"].replace("{{ context.url }}", ""), "text": "Hi"}

    checks = list(message_checks(EMAIL, source, shown))

    assert [(check.code, check.part, check.line) for check in checks if check.level == "warning"] == [
        ("link", "html", 2),
        ("link", "", None),
        ("no-alt", "html", 3),
    ]


def test_a_mail_without_faults_is_told_so():
    html = '<p><a href="https://example.org">x</a><img src="https://example.org/a.png" alt=""></p>'
    checks = told(EMAIL, {"subject": "s", "html": html, "text": "x"}, {"subject": "s", "html": html})

    assert {check.level for check in checks.values()} == {"fine"}
    assert set(checks) == {"size", "link", "text"}


def test_a_mail_is_measured_in_bytes_of_its_html():
    fits, cut = ("é" * (CLIPPED_BYTES_MAX // 2), "é" * (CLIPPED_BYTES_MAX // 2) + "x")

    levels = [told(EMAIL, {"subject": "s", "html": html})["size"].level for html in (fits, cut)]

    assert levels == ["fine", "warning"]


def test_blank_headlines_are_told():
    assert told(EMAIL, {"subject": " ", "html": "x"})["blank-subject"].level == "warning"
    assert told(PUSH, {"title": "", "body": "x"})["blank-title"].level == "warning"


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ("x" * 160, "fine", "1 segment: 160 characters of the GSM alphabet"),
        ("x" * 161, "warning", "2 segments"),
        ("it’s", "warning", "1 segment: 4 characters of UCS-2, because of ’"),
        ("’" * 71, "warning", "2 segments"),
    ],
)
def test_a_text_message_is_counted_in_segments(text: str, level: str, words: str):
    check = told(SMS, {"text": text})["segments"]

    assert check.level == level
    assert check.message.startswith(words)


def test_links_in_plain_text_are_found():
    checks = told(SMS, {"text": "see http://example.org/x now"})

    assert checks["link"].message == "The link http://example.org/x is not encrypted; write https."
    assert told(PUSH, {"title": "t", "body": "b", "url": ""}, {"title": "t", "body": "b", "url": "{{ u }}"})[
        "link"
    ].message.startswith("The link without an address leads nowhere")


def test_of_many_faults_the_first_are_told_and_long_ones_cut():
    html = "".join(f'<a href="/{number}{"x" * 500}">x</a>' for number in range(100))

    links = list(message_checks(EMAIL, {"html": html}, {"subject": "s", "html": html}))

    found = [check for check in links if check.code == "link"]
    assert len(found) == TOLD_MAX
    assert max(len(check.message) for check in found) < 200
