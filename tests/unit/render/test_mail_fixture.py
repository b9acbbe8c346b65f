"""The fixture that rendering is measured with is what the numbers say it is."""

from pathlib import Path

from messages_rendered import body_of, render
from stentor.domain.vocabulary import ChannelKind
from stentor.render.analysis import usages

FIXTURES = Path(__file__).parents[3] / "benchmarks" / "fixtures"
PARTS = {
    name: (FIXTURES / f"mail.{name}.liquid").read_text(encoding="utf-8")
    for name in ("subject", "preheader", "html", "text")
}
CUSTOMER = {
    "first_name": "Zoë",
    "city": "New York",
    "team": "Lions",
    "tier": "Gold",
    "points": 1200,
    "is_member": True,
    "favourites": [{"name": f"Player {number}", "team": "Lions", "id": number} for number in range(3)],
}
CONTEXT = {"home": "Lions", "away": "Bears", "city": "Berlin", "match_id": "m-1"}


def test_the_fixture_is_a_mail_of_six_kilobytes_with_ten_links():
    message = render(ChannelKind.EMAIL, PARTS, customer=CUSTOMER, context=CONTEXT, brand={"name": "Kick & Off"})

    html = body_of(message, "html")
    assert 5_800 <= len(html.encode()) <= 6_400
    assert PARTS["html"].count("<a href=") == 10
    assert "Kick &amp; Off" in html
    assert html.count("Form and facts") == 3
    assert message.subject == "Zoë, Lions v Bears starts soon"


def test_the_fixture_has_five_personal_fields_one_if_and_one_for():
    html = PARTS["html"]

    fields = {usage.path for usage in usages(ChannelKind.EMAIL, {"html": html}) if usage.printed}
    personal = {path[1] for path in fields if path[0] == "customer" and len(path) == 2}
    assert personal == {"first_name", "city", "team", "tier", "points", "favourites"}
    assert (html.count("{% if"), html.count("{% for")) == (1, 1)
