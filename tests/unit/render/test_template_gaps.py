"""The publishing rule: what a template prints, the schema promises or the template copes without."""

from typing import Any

import pytest

from stentor.campaigns.guarantees import Guarantees
from stentor.domain.vocabulary import ChannelKind
from stentor.render.analysis import Usage, usages
from stentor.render.publishing_rule import Finding, bind_names, check_against_schema

TEXT = {"type": "string"}


def obj(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


SCHEMA = {
    **obj(
        "title",
        "match",
        "players",
        title=TEXT,
        subtitle={"type": ["string", "null"]},
        match=obj("home", home=TEXT, away=TEXT),
        players={"type": "array", "items": {"$ref": "#/$defs/player"}},
        extra=obj("name", name=TEXT, note=TEXT),
        more={"type": "array", "items": {"$ref": "#/$defs/player"}},
    ),
    "$defs": {"player": obj("name", name=TEXT, team=TEXT)},
}


def findings(
    template: str, schema: dict[str, Any] | None = SCHEMA, kind: ChannelKind = ChannelKind.SMS
) -> list[Finding]:
    found = usages(kind, {"text": template})
    fields = None if schema is None else Guarantees(schema).fields()
    bindings = bind_names(found, context_fields=fields)
    return check_against_schema(kind, found, bindings=bindings, schema=schema, promises=Guarantees)


def errors(template: str) -> list[str]:
    return [finding.field for finding in findings(template) if finding.level == "error"]


@pytest.mark.parametrize(
    "template",
    [
        "{{ context.title }} {{ title }} {{ context.match.home }}",
        "{{ context.subtitle | default: 'none' }}",
        "{{ context.subtitle | upcase | default: '' }}",
        "{% if context.subtitle %}{{ context.subtitle }}{{ subtitle }}{% endif %}",
        "{% if context.subtitle != blank and context.title %}{{ context.subtitle }}{% endif %}",
        "{% if context.subtitle == nil %}none{% else %}{{ context.subtitle }}{% endif %}",
        "{% if context.subtitle == 'x' %}{{ context.subtitle }}{% endif %}",
        "{% if context.subtitle contains 'x' %}{{ context.subtitle }}{% endif %}",
        "{% unless context.subtitle == blank %}{{ context.subtitle }}{% endunless %}",
        "{% unless context.subtitle %}none{% else %}{{ context.subtitle }}{% endunless %}",
        "{% if context.title == 'x' %}{% elsif context.subtitle %}{{ context.subtitle }}{% endif %}",
        "{% case context.subtitle %}{% when 'a', 'b' %}{{ context.subtitle }}{% endcase %}",
        "{% if context.subtitle or context.extra %}{{ context.subtitle }}{% endif %}",
        "{% if context.extra %}{{ context.extra.name }}{% endif %}",
        "{% if context.extra.note %}{{ context.extra.name }}{{ context.extra.note }}{% endif %}",
        "{% for player in context.players %}{{ player.name }} {{ forloop.index }}{% endfor %}",
        "{% for player in context.players %}{{ player.team | default: '?' }}{% endfor %}",
        "{% for player in context.players %}{% if player.team %}{{ player.team }}{% endif %}{% endfor %}",
        "{% if context.more %}{% for player in context.more %}{{ player.name }}{% endfor %}{% endif %}",
        "{% for player in context.more %}{{ player.name }}{% else %}nobody{% endfor %}",
        "{% assign sub = context.subtitle %}{{ sub | default: 'none' }}",
        "{% assign sub = context.subtitle | default: 'none' %}{{ sub }}",
        "{{ context.players.size }} {{ context.title.size }}",
        "{% if context.anything == 1 %}x{% endif %}",
        "{{ unsubscribe_url }} {{ now | date: '%Y' }} {{ brand.anything }}",
        "{% assign own = 'x' %}{{ own }}{% increment own2 %}{{ own2 }}",
    ],
)
def test_what_is_promised_or_coped_with_may_be_published(template: str):
    assert errors(template) == []


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("{{ context.subtitle }}", ["context.subtitle"]),
        ("{{ subtitle }}", ["context.subtitle"]),
        ("{{ context.unknown }}", ["context.unknown"]),
        ("{{ context.match.away }}", ["context.match.away"]),
        ("{{ context.extra.name }}", ["context.extra.name"]),
        ("{% if context.extra %}{{ context.extra.note }}{% endif %}", ["context.extra.note"]),
        ("{% if context.subtitle %}x{% else %}{{ context.subtitle }}{% endif %}", ["context.subtitle"]),
        ("{% if context.subtitle %}x{% endif %}{{ context.subtitle }}", ["context.subtitle"]),
        (
            "{% if context.subtitle and context.extra %}{% else %}{{ context.extra.name }}{% endif %}",
            ["context.extra.name"],
        ),
        ("{% if context.subtitle != 'x' %}{{ context.subtitle }}{% endif %}", ["context.subtitle"]),
        ("{% unless context.subtitle %}{{ context.subtitle }}{% endunless %}", ["context.subtitle"]),
        (
            "{% case context.subtitle %}{% when 'a' %}x{% else %}{{ context.subtitle }}{% endcase %}",
            ["context.subtitle"],
        ),
        ("{% for player in context.players %}{{ player.team }}{% endfor %}", ["context.players[].team"]),
        ("{% for player in context.more %}{{ player.name }}{% endfor %}", ["context.more"]),
        ("{% tablerow player in context.players %}{{ player.team }}{% endtablerow %}", ["context.players[].team"]),
        ("{{ context.players[0].name }}", ["context.players[0].name"]),
        ("{{ context.players.first.name }}", ["context.players.first.name"]),
        ("{{ 'x' | append: context.subtitle }}", ["context.subtitle"]),
        ("{{ context.title | default: context.subtitle }}", ["context.subtitle"]),
        ("{% assign sub = context.subtitle %}{{ sub }}", ["context.subtitle"]),
        ("{% assign sub = context.subtitle | upcase %}{{ sub | default: 'x' }}", ["context.subtitle"]),
        ("{% capture sub %}{{ context.subtitle }}{% endcapture %}", ["context.subtitle"]),
        ("{% for i in (1..3) limit: context.unknown %}{% endfor %}", ["context.unknown"]),
        ("{% cycle context.subtitle, 'x' %}", ["context.subtitle"]),
        ("{% liquid\n echo context.subtitle\n %}", ["context.subtitle"]),
    ],
)
def test_a_gap_that_nobody_copes_with_is_an_error(template: str, fields: list[str]):
    assert errors(template) == fields


def test_an_error_names_part_line_and_field_and_says_what_to_do():
    assert findings("one\n{{ context.subtitle }}") == [
        Finding(
            "error",
            "text",
            2,
            "context.subtitle",
            "context.subtitle is not required; make it required and never null in the schema, "
            "give context.subtitle a default, or ask for it with if.",
        )
    ]


def test_a_first_element_that_the_schema_promises_is_there():
    schema = obj("list", list={"type": "array", "minItems": 1, "items": TEXT})

    assert findings("{{ context.list[0] }}{{ context.list.first }}{{ context.list.last }}", schema) == []
    assert [finding.field for finding in findings("{{ context.list[1] }}", schema)] == ["context.list[1]"]


def test_without_a_schema_nothing_is_asked_of_the_context():
    assert findings("{{ context.anything }} {{ anything }}", None) == []


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("{{ customer.plan }}", ["customer.plan"]),
        ("{{ plan }}", ["customer.plan"]),
        ("{{ customer.locale }}", ["customer.locale"]),
        ("{{ customer.email }}", ["customer.email"]),
        ("{{ customer.phone }}{{ customer.external_id }}", []),
        ("{{ customer.plan | default: 'free' }}", []),
        ("{% if plan %}{{ customer.plan }}{% endif %}", []),
    ],
)
def test_a_persons_field_without_default_is_a_warning(template: str, fields: list[str]):
    found = findings(template)

    assert [finding.field for finding in found] == fields
    assert {finding.level for finding in found} <= {"warning"}


def test_bare_names_are_bound_to_the_schema_then_the_person():
    found = usages(ChannelKind.SMS, {"text": "{{ title }}{{ locale }}{{ plan }}{{ title }}"})

    assert bind_names(found, context_fields={"title", "locale"}) == {
        "title": "context.title",
        "locale": "context.locale",
        "plan": "customer.attributes.plan",
    }
    assert bind_names(found, context_fields=None, attributes={"plan"}) == {
        "title": "context.title",
        "locale": "customer.locale",
        "plan": "customer.attributes.plan",
    }


def test_a_use_knows_its_part_its_line_and_what_is_given_there():
    parts = {
        "subject": "{{ title }}",
        "html": "\n{% if context.a %}{{ context.a.b | default: 1 }}{% endif %}",
        "text": "x",
    }

    assert usages(ChannelKind.EMAIL, parts) == [
        Usage("subject", 1, ("title",), printed=True, has_default=False, given=frozenset()),
        Usage("html", 2, ("context", "a"), printed=False, has_default=False, given=frozenset()),
        Usage("html", 2, ("context", "a", "b"), printed=True, has_default=True, given=frozenset({("context", "a")})),
    ]
