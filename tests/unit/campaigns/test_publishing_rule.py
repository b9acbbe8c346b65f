"""The publishing rule, sentence by sentence: no message has a gap because a call left a field out."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from stentor.campaigns.ingredients import Ingredients, RouteIngredients
from stentor.campaigns.model import Basis, Template, TemplateContent
from stentor.campaigns.publishing import Frozen, freeze
from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

TEMPLATE_ID = UUID(int=1)
WHEN = datetime(2026, 11, 21, tzinfo=UTC)

REQUIRED: dict[str, Any] = {
    "type": "object",
    "properties": {"match": {"type": "string"}},
    "required": ["match"],
}
OPTIONAL: dict[str, Any] = {"type": "object", "properties": {"match": {"type": "string"}}}
NULLABLE: dict[str, Any] = {
    "type": "object",
    "properties": {"match": {"type": ["string", "null"]}},
    "required": ["match"],
}


def _frozen(
    parts: dict[str, str] | str,
    schema: dict[str, Any] | None,
    channel: ChannelKind = ChannelKind.SMS,
    *,
    basis: Basis = "topic",
    postal_address: str = "1 Arena Way",
) -> Frozen:
    parts = {"text": parts} if isinstance(parts, str) else parts
    content = TemplateContent("en", {"en": parts})
    template = Template(TEMPLATE_ID, "Match starts", channel, 1, content, WHEN, WHEN)
    ingredients = Ingredients(
        campaign_id=UUID(int=2),
        campaign_name="Match day",
        consent_basis=basis,
        mode="all",
        lane="bulk",
        policy=CampaignPolicy(),
        routes=(RouteIngredients(channel, TEMPLATE_ID, 1, UUID(int=3), "sandbox"),),
        context_schema=schema,
        deduplication=None,
        brand={"name": "Goal Rush", "postal_address": postal_address},
        from_name="Goal Rush",
        from_address="",
    )
    return freeze(ingredients, {TEMPLATE_ID: template})


def _refusal(parts: dict[str, str] | str, schema: dict[str, Any], channel: ChannelKind = ChannelKind.SMS) -> Invalid:
    with pytest.raises(Invalid) as caught:
        _frozen(parts, schema, channel)
    assert {violation.code for violation in caught.value.violations} == {"blank-field"}
    return caught.value


def _warnings(parts: dict[str, str] | str, schema: dict[str, Any] | None = None) -> list[str]:
    return [warning.message for warning in _frozen(parts, schema).warnings]


# --- what the schema promises ---------------------------------------------------------------------------------------


def test_a_required_field_may_be_printed():
    assert _warnings("{{ context.match }}", REQUIRED) == []


def test_an_optional_field_may_not_be_printed_as_it_is():
    problem = _refusal("Soon:\n{{ context.match }}", OPTIONAL)

    assert problem.violations[0].pointer == f"/templates/{TEMPLATE_ID}/variants/en/text"
    assert problem.detail.startswith("Template 'Match starts', en, text: Line 2: context.match is not required;")


def test_a_required_field_that_may_be_null_may_not_be_printed_as_it_is():
    assert "context.match may be null" in _refusal("{{ context.match }}", NULLABLE).detail


def test_a_misspelt_field_is_found():
    assert "the schema has no context.mach" in _refusal("{{ context.mach }}", REQUIRED).detail


def test_every_field_is_named_at_once():
    problem = _refusal("{{ context.match }} {{ context.place }}", OPTIONAL)

    assert ["context.place" in violation.message for violation in problem.violations] == [False, True]


def test_each_part_is_looked_at():
    parts = {"title": "{{ context.match }}", "body": "Soon", "data.match": "{{ context.match }}"}

    problem = _refusal(parts, OPTIONAL, ChannelKind.PUSH)

    assert [violation.pointer.rpartition("/")[2] for violation in problem.violations] == ["title", "data.match"]


def test_a_field_of_a_field_must_be_required_there():
    schema = {
        "type": "object",
        "properties": {"match": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "required": ["match"],
    }

    assert "context.match.name is not required" in _refusal("{{ context.match.name }}", schema).detail


def test_an_element_of_a_list_must_always_have_what_is_printed_of_it():
    schema = {
        "type": "object",
        "properties": {
            "odds": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
        },
        "required": ["odds"],
    }

    assert "context.odds[].name" in _refusal("{% for odd in context.odds %}{{ odd.name }}{% endfor %}", schema).detail


def test_a_list_that_is_looped_through_must_be_required():
    schema = {"type": "object", "properties": {"odds": {"type": "array", "items": {"type": "string"}}}}

    assert "context.odds" in _refusal("{% for odd in context.odds %}{{ odd }}{% endfor %}", schema).detail


# --- how a template copes by itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [OPTIONAL, NULLABLE])
@pytest.mark.parametrize(
    "text",
    [
        '{{ context.match | default: "your match" }}',
        '{{ context.match | upcase | default: "YOUR MATCH" }}',
        "{% if context.match %}{{ context.match }}{% endif %}",
        "{% if context.match != blank %}{{ context.match }}{% endif %}",
        '{% if context.match == "final" %}{{ context.match }}{% endif %}',
        "{% unless context.match %}Soon{% else %}{{ context.match }}{% endunless %}",
        "{% if customer.locale and context.match %}{{ context.match }}{% endif %}",
        "{% if context.match %}{% if customer.locale %}{{ context.match }}{% endif %}{% endif %}",
    ],
)
def test_a_template_may_cope_with_a_missing_field_itself(text: str, schema: dict[str, Any]):
    assert _frozen(f"Kick-off {text}", schema).content.context_schema == schema


@pytest.mark.parametrize(
    "text",
    [
        "{% if context.place %}{{ context.match }}{% endif %}",
        "{% if context.match %}yes{% endif %} {{ context.match }}",
        "{% if context.match %}yes{% else %}{{ context.match }}{% endif %}",
        "{% unless context.match %}{{ context.match }}{% endunless %}",
        "{{ customer.locale | default: context.match }}",
        "{{ context.match | upcase }}",
        "{% assign name = context.match %}{{ name }}",
        "{% capture name %}{{ context.match }}{% endcapture %}{{ name }}",
        "{% case customer.locale %}{% when 'de' %}{{ context.match }}{% endcase %}",
    ],
)
def test_what_looks_like_coping_is_not_taken_for_it(text: str):
    assert "context.match" in _refusal(text, OPTIONAL).detail


def test_asking_for_a_field_is_not_printing_it():
    assert _warnings("{% if context.match %}Soon{% else %}Later{% endif %}", OPTIONAL) == []


# --- what no message has ----------------------------------------------------------------------------------------------


def test_an_unsubscribe_link_is_missed_where_nobody_opted_in():
    (warning,) = _frozen("Shipped. Stop: {{ unsubscribe_url }}", None, basis="none").warnings

    assert warning.pointer == f"/templates/{TEMPLATE_ID}/variants/en/text"
    assert warning.message.startswith("Template 'Match starts', en, text: Line 1: Messages of the consent basis none")


@pytest.mark.parametrize(
    ("text", "basis"),
    [
        ("Soon. Stop: {{ unsubscribe_url }}", "topic"),
        ("Shipped.{% if unsubscribe_url %} Stop: {{ unsubscribe_url }}{% endif %}", "none"),
    ],
)
def test_an_unsubscribe_link_that_is_there_or_asked_for_is_not_missed(text: str, basis: Basis):
    assert _frozen(text, None, basis=basis).warnings == ()


def test_a_setting_that_the_brand_has_not_made_is_missed():
    (warning,) = _frozen("{{ brand.name }}, {{ brand.postal_address }}", None, postal_address="").warnings

    assert "The brand has no postal_address; set it" in warning.message


def test_one_language_that_copes_does_not_excuse_another():
    content = TemplateContent(
        "en", {"en": {"text": "{{ context.match }}"}, "de": {"text": '{{ context.match | default: "x" }}'}}
    )
    template = Template(TEMPLATE_ID, "Match starts", ChannelKind.SMS, 1, content, WHEN, WHEN)
    frozen = _frozen("x", OPTIONAL)

    with pytest.raises(Invalid) as caught:
        freeze(_ingredients_of(frozen, OPTIONAL), {TEMPLATE_ID: template})

    assert [violation.pointer for violation in caught.value.violations] == [
        f"/templates/{TEMPLATE_ID}/variants/en/text"
    ]


def _ingredients_of(frozen: Frozen, schema: dict[str, Any]) -> Ingredients:
    content = frozen.content
    return Ingredients(
        campaign_id=content.campaign_id,
        campaign_name=content.campaign_name,
        consent_basis=content.consent_basis,
        mode=content.mode,
        lane=content.lane,
        policy=content.policy,
        routes=tuple(
            RouteIngredients(
                ChannelKind(route.channel), route.template_id, route.template_version, route.sender_id, "sandbox"
            )
            for route in content.routes
        ),
        context_schema=schema,
        deduplication=None,
        brand=content.brand,
        from_name="Goal Rush",
        from_address="",
    )


# --- without a schema, and what people lack -------------------------------------------------------------------------


def test_without_a_schema_any_field_may_be_printed():
    assert _warnings("{{ context.match }}", None) == []


def test_an_attribute_without_default_is_a_warning():
    [warning] = _warnings("Hi {{ customer.first_name }}", REQUIRED)

    assert "customer.first_name" in warning
    assert "Line 1" in warning


@pytest.mark.parametrize(
    "text",
    [
        '{{ customer.first_name | default: "there" }}',
        "{% if customer.first_name %}{{ customer.first_name }}{% endif %}",
    ],
)
def test_an_attribute_that_the_template_copes_without_is_none(text: str):
    assert _warnings(f"Hi {text}", REQUIRED) == []


def test_what_everybody_has_is_no_warning():
    assert (
        _warnings("{{ customer.external_id }} {{ customer.phone }} {{ brand.name }} {{ unsubscribe_url }}", REQUIRED)
        == []
    )


# --- what bare names mean -------------------------------------------------------------------------------------------


def test_a_bare_name_is_a_field_of_the_schema_then_a_system_field_then_an_attribute():
    schema = {
        "type": "object",
        "properties": {"match": {"type": "string"}, "locale": {"type": "string"}},
        "required": ["match", "locale"],
    }

    frozen = _frozen('{{ match }} {{ locale }} {{ time_zone | default: "" }} {{ plan | default: "" }}', schema)

    assert frozen.content.bindings == {
        "match": "context.match",
        "locale": "context.locale",
        "time_zone": "customer.time_zone",
        "plan": "customer.attributes.plan",
    }


def test_a_bare_name_is_held_to_the_rule_of_what_it_means():
    assert "context.match" in _refusal("{{ match }}", OPTIONAL).detail
    assert ["customer.plan" in warning for warning in _warnings("{{ plan }}", REQUIRED)] == [True]


def test_an_if_on_the_bare_name_guards_the_full_one_too():
    assert _warnings("{% if match %}{{ context.match }}{% endif %}", OPTIONAL) == []


def test_a_local_name_is_bound_to_nothing():
    assert (
        _frozen(
            "{% assign match = 'x' %}{{ match }}{% for a in (1..2) %}{{ a }}{% endfor %}", OPTIONAL
        ).content.bindings
        == {}
    )


def test_without_a_schema_a_bare_name_that_no_person_has_is_taken_from_the_context():
    assert _frozen("{{ match_name }} {{ locale }}", None).content.bindings == {
        "match_name": "context.match_name",
        "locale": "customer.locale",
    }
