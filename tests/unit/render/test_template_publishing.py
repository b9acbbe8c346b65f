"""What happens to an e-mail template when it is published, with its Liquid carried through."""

import re

import pytest

from messages_rendered import body_of, render
from stentor.domain.vocabulary import ChannelKind
from stentor.render.errors import TemplateInvalid
from stentor.render.publishing import final_parts, html_of_mjml, text_of_html, with_inline_styles

MJML = """<mjml>
  <mj-head><mj-title>{{ context.title }}</mj-title><mj-style>.red { color: {{ brand.color }} }</mj-style></mj-head>
  <mj-body>
    {% for player in context.players %}
    <mj-section><mj-column>
      <mj-text css-class="red">Hello {{ player.name | default: "x > y" }}</mj-text>
      <mj-button href="{{ player.url }}?a={{ player.id }}">Go {{ player.name }}</mj-button>
    </mj-column></mj-section>
    {% endfor %}
  </mj-body>
</mjml>"""


def test_mjml_becomes_html_and_its_liquid_stays():
    parts = final_parts(ChannelKind.EMAIL, {"subject": "s", "mjml": MJML})

    players = [{"name": "Ann", "url": "https://x.example/a", "id": 1}, {"name": "<Ben>", "url": "/b", "id": 2}]
    message = render(ChannelKind.EMAIL, parts, context={"title": "T", "players": players}, brand={"color": "red"})
    html = body_of(message, "html")
    assert set(parts) == {"subject", "html", "text"}
    assert "mjml" not in html
    assert "Hello Ann" in html
    assert "Hello &lt;Ben&gt;" in html
    assert 'href="https://x.example/a?a=1"' in html
    assert (
        body_of(message, "plain") == "\nHello Ann\nGo Ann: https://x.example/a?a=1\n\nHello <Ben>\nGo <Ben>: /b?a=2\n\n"
    )


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("<mjml><mj-body><mj-text><p>{{ a }}</mj-text></mj-body></mjml>", "no MJML"),
        ("<mjml><mj-body></mj-text></mj-body></mjml>", "no MJML"),
        ("<div>html</div>", "near `<div>html</div>`"),
        ('<mjml><mj-body><mj-text></p>é"></mj-text></mj-body></mjml>', "no MJML"),
        ("<mjml><mj-body><mj-include path='/etc/passwd'/></mj-body></mjml>", "no MJML"),
        (f"<mjml><mj-body>{'<mj-wrapper>' * 300}</mj-body></mjml>", "nested deeper"),
        (
            "<mjml><mj-body><mj-section><mj-column><mj-text {% if a %}>x</mj-text></mj-column></mj-section></mj-body></mjml>",
            "lost",
        ),
    ],
)
def test_what_is_no_mjml_is_refused(source: str, complaint: str):
    with pytest.raises(TemplateInvalid) as refused:
        html_of_mjml(source)

    assert refused.value.part == "mjml"
    assert complaint in refused.value.message


def test_mjml_keeps_what_is_not_ascii():
    source = "<mjml><mj-head><mj-title>Grüße</mj-title></mj-head><mj-body><mj-text>日本 é</mj-text></mj-body></mjml>"

    html = html_of_mjml(source)

    assert "<title>Grüße</title>" in html
    assert "日本 é" in html


def test_styles_go_into_the_elements_and_liquid_between_rows_stays_between_rows():
    source = """<html><head><style>td { color: red } @media (max-width: 9px) { td { color: {{ brand.color }} } }</style>
    </head><body><table>{% for row in context.rows %}<tr><td>{{ row }}</td></tr>{% endfor %}</table></body></html>"""

    html = with_inline_styles(source)

    assert '{% for row in context.rows %}<tbody><tr><td style="color: red;">{{ row }}</td></tr>{% endfor %}' in html
    assert "@media (max-width: 9px) { td { color: {{ brand.color }} } }" in html


def test_html_without_styles_is_left_as_it_is():
    source = "<p>{{ a }}<p>unclosed &nbsp; <td>"

    assert with_inline_styles(source) == source


def test_liquid_that_a_tool_would_turn_around_is_refused():
    source = (
        "<style>td { color: red }</style><table><tr><td class='z' {% if a %}bgcolor='x'{% endif %}>x</td></tr></table>"
    )

    with pytest.raises(TemplateInvalid) as refused:
        with_inline_styles(source)

    assert "attribute" in refused.value.message


def test_the_text_part_says_what_the_html_says():
    source = """<html><head><title>{{ context.title }}</title>{% assign who = customer.name %}<style>p { x: {{ y }} }</style></head>
    <body style="color: {{ brand.color }}"><h1>Hi {{ who }}!</h1>
    <table><tr><td><a href="https://x.example/{{ context.id }}">Watch   it</a></td></tr>
    {% if context.list %}<tr><td><ul>{% for item in context.list %}<li>{{ item }}</li>{% endfor %}</ul></td></tr>{% endif %}</table>
    <p>a &lt; b &#123;&#123; c }}<br>d<img src="x.png" alt="A picture"><img src="y.png"></p>
    <a href="https://x.example/">https://x.example/</a>
    </body></html>"""

    text = text_of_html(source)

    message = render(
        ChannelKind.EMAIL,
        {"subject": "s", "html": source, "text": text},
        customer={"name": "Ann"},
        context={"id": 7, "list": ["one", "two"]},
        bindings={"y": "context.y"},
    )
    said = [line.strip() for line in body_of(message, "plain").splitlines() if line.strip()]
    assert said == [
        "Hi Ann!",
        "Watch it: https://x.example/7",
        "* one",
        "* two",
        "a < b {{ c }}",
        "dA picture",
        "https://x.example/",
    ]


def test_html_that_says_nothing_needs_a_text_of_its_own():
    with pytest.raises(TemplateInvalid) as refused:
        final_parts(ChannelKind.EMAIL, {"subject": "s", "html": '<img src="x.png">'})

    assert refused.value.part == "text"


def test_a_text_that_was_written_is_kept():
    parts = {"subject": "s", "html": "<p>h</p>", "text": "own", "preheader": ""}

    assert final_parts(ChannelKind.EMAIL, parts) == {"subject": "s", "html": "<p>h</p>", "text": "own"}


def test_html_and_mjml_exclude_each_other():
    with pytest.raises(TemplateInvalid, match="remove one"):
        final_parts(ChannelKind.EMAIL, {"subject": "s", "html": "x", "mjml": MJML})


@pytest.mark.parametrize(
    "nested",
    [
        "<div>",
        "<div></span>",
        "<div/>",
        '<div title="<">',
        "<div><table><tr><td></div>",
        "<svg><td>" + "<td>",
        "<b><p>",
    ],
)
def test_elements_nested_without_end_are_refused_before_any_tool_sees_them(nested: str):
    with pytest.raises(TemplateInvalid, match="nested deeper than 256"):
        final_parts(ChannelKind.EMAIL, {"subject": "s", "html": "<style></style>" + nested * 20_000})


@pytest.mark.parametrize("nested", ["<p>", "<div title='>'>", "<mj-wrapper>"])
def test_mjml_nested_without_end_is_refused_before_any_tool_sees_it(nested: str):
    with pytest.raises(TemplateInvalid, match="nested deeper than 256"):
        html_of_mjml(f"<mjml><mj-body>{nested * 20_000}")


def test_many_empty_mjml_elements_are_not_deep():
    source = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"

    assert (
        html_of_mjml(source.format("<mj-divider border-color='>'/><mj-text>a<br>b</mj-text>" * 300)).count("a<br")
        == 300
    )


def test_many_paragraphs_are_not_deep():
    html = "<p>x<br>" * 1000

    assert final_parts(ChannelKind.EMAIL, {"subject": "s", "html": html})["html"] == html


@pytest.mark.parametrize(
    "source",
    [
        '<a href="{{ a | default: "x" }}" title=\'{{ b }}\' {{ c }}>{{ d }}</a>',
        "<!-- {{ a }} --><p>{% if b %}x{% endif %}</p><!--[if mso]>{{ c }}<![endif]-->",
        "<script>if (a < b) { {{ c }} }</script><style>{{ d }}</style><p>{{ e }}</p>",
        "{% raw %}<b>{{ a }}{% endraw %}{% comment %}{{ b }}{% endcomment %}",
        "a < b {{ c }} liquid0x",
    ],
)
def test_liquid_comes_through_the_style_inliner_unchanged(source: str):
    liquid = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")

    inlined = with_inline_styles(f"<style>p {{ color: red }}</style>{source}")

    assert liquid.findall(inlined) == liquid.findall(source)
    assert "liquidz" not in inlined
