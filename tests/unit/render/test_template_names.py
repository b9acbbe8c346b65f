"""What names and filters mean in a template."""

from typing import Any

import pytest

from messages_rendered import AT, URL, body_of, mail, text_of
from stentor.render.errors import TemplateInvalid

KICK_OFF = "2026-11-21T19:15:30Z"


def test_context_customer_brand_and_the_link_have_their_names():
    text = text_of(
        "{{ context.match.home }} {{ customer.first_name }} {{ brand.name }} {{ unsubscribe_url }}",
        context={"match": {"home": "Lions"}},
        customer={"first_name": "Ann"},
        brand={"name": "Brand"},
    )

    assert text == f"Lions Ann Brand {URL}"


def test_a_bare_name_is_what_it_was_bound_to():
    bindings = {"title": "context.title", "locale": "customer.locale", "plan": "customer.attributes.plan"}

    text = text_of(
        "{{ title }}, {{ locale }}, {{ plan }}",
        bindings=bindings,
        context={"title": "Kick-off", "plan": "not this"},
        customer={"locale": "de", "plan": "gold", "title": "not this"},
    )

    assert text == "Kick-off, de, gold"


def test_a_bare_name_that_is_bound_to_nothing_is_refused():
    with pytest.raises(TemplateInvalid, match="title is bound to nothing"):
        text_of("{{ title }}")


def test_a_name_that_the_template_makes_needs_no_binding_and_wins_once_it_is_made():
    template = "{{ plan }}, {% assign plan = 'own' %}{% assign new = plan %}{{ plan }}, {{ new }}"

    assert text_of(template, bindings={"plan": "customer.plan"}, customer={"plan": "gold"}) == "gold, own, own"


def test_a_name_made_under_a_condition_is_made_for_those_it_holds_for():
    template = "{% if customer.vip %}{% assign greeting = context.loud | upcase %}{% endif %}[{{ greeting }}]"
    context = {"loud": "hey"}

    assert text_of(template, customer={"vip": True}, context=context) == "[HEY]"
    assert text_of(template, customer={"vip": False}, context=context) == "[]"


def test_what_is_not_there_prints_nothing_unless_there_is_a_default():
    template = "[{{ customer.a }}{{ customer.a.b[0].c }}{{ context.x | upcase }}]{{ customer.a | default: 'there' }}"

    assert text_of(template) == "[]there"


@pytest.mark.parametrize(
    ("value", "printed"),
    [(None, ""), (True, "true"), (3, "3"), (2.5, "2.5"), (1e20, "1e+20"), ("é", "é"), ([1, "a", None], "1aNone")],
)
def test_values_print_as_liquid_prints_them(value: Any, printed: str):
    assert text_of("[{{ customer.value }}]", customer={"value": value}) == f"[{printed}]"


def test_html_escapes_values_and_text_does_not():
    customer = {"name": '<b>O\'Neil & "Sons"</b>'}

    message = mail(html="<p>{{ customer.name }}</p>", text="{{ customer.name }}", customer=customer)

    assert body_of(message, "html") == "<p>&lt;b&gt;O&#39;Neil &amp; &#34;Sons&#34;&lt;/b&gt;</p>"
    assert body_of(message, "plain") == '<b>O\'Neil & "Sons"</b>'


def test_captured_html_is_escaped_once():
    html = "{% capture hello %}<b>{{ customer.name }}</b>{% endcapture %}{{ hello }}"

    assert body_of(mail(html=html, customer={"name": "A&B"}), "html") == "<b>A&amp;B</b>"


@pytest.mark.parametrize(
    ("style", "locale", "zone", "printed"),
    [
        ("", "en-US", "America/New_York", "Nov 21, 2026, 2:15:30\u202fPM"),
        (": 'short'", "de-DE", "Europe/Berlin", "21.11.26, 20:15"),
        (": 'date'", "fr", "Asia/Tokyo", "22 nov. 2026"),
        (": 'time'", "pt-BR", "America/Sao_Paulo", "16:15"),
        (": 'EEEE, HH:mm'", "es", "UTC", "sábado, 19:15"),
        (": 'short'", "xx-unknown", "Nowhere/Land", "11/21/26, 7:15\u202fPM"),
    ],
)
def test_local_is_the_persons_zone_and_language(style: str, locale: str, zone: str, printed: str):
    customer = {"locale": locale, "time_zone": zone}

    assert text_of("{{ context.at | local" + style + " }}", context={"at": KICK_OFF}, customer=customer) == printed


@pytest.mark.parametrize(("value", "printed"), [(None, "[]"), ("soon", "[soon]"), (1795288530, "[21.11.26, 20:15]")])
def test_local_leaves_what_is_no_moment(value: Any, printed: str):
    customer = {"locale": "de", "time_zone": "Europe/Berlin"}

    assert text_of("[{{ context.at | local: 'short' }}]", context={"at": value}, customer=customer) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [(KICK_OFF, "45"), ("2026-11-21T18:29:01Z", "0"), ("2026-11-21T19:00:00+01:00", "-30"), (None, ""), ("soon", "")],
)
def test_minutes_until_counts_whole_minutes_from_the_moment_of_rendering(value: Any, printed: str):
    assert text_of("[{{ context.at | minutes_until }}]", context={"at": value}) == f"[{printed}]"


@pytest.mark.parametrize(
    ("text", "printed"),
    [("FC Köln – Bayern!", "fc-koln-bayern"), ("  A_b  ", "a-b"), ("日本 vs 中国", "日本-vs-中国"), ("", ""), (7, "7")],
)
def test_slug_is_for_addresses(text: Any, printed: str):
    assert text_of("[{{ context.text | slug }}]", context={"text": text}) == f"[{printed}]"


def test_now_and_today_are_the_moment_of_rendering():
    template = "{{ now | date: '%H:%M' }} {{ today }} {{ 'now' | date: '%Y' }} {{ context.when | date: '%d.%m.' }}"

    assert text_of(template, context={"when": "now"}) == f"{AT:%H:%M} {AT:%Y-%m-%d} {AT:%Y} {AT:%d.%m.}"


def test_what_python_liquid_alone_knows_is_interpreted():
    template = "{% increment n %}{% increment n %}{% tablerow p in context.list %}{{ p }}{% endtablerow %}{{ plan }}"

    text = text_of(template, context={"list": ["a"]}, bindings={"plan": "customer.plan"}, customer={"plan": "gold"})

    assert text == '01<tr class="row1">\n<td class="col1">a</td></tr>\ngold'


def test_interpreted_html_is_escaped_once():
    html = "{% increment n %}<p>{{ customer.name }}</p>"

    assert body_of(mail(html=html, customer={"name": "A&B"}), "html") == "0<p>A&amp;B</p>"
