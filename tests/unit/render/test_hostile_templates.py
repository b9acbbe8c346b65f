"""Templates that walk, loop and grow: each is refused when published, or fails for the one person it meets."""

import time
from typing import Any

import pytest

from messages_rendered import text_of
from stentor.domain.vocabulary import ChannelKind
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.messages import compile_message

PROMPT_S = 5.0


def compiled(template: str) -> None:
    compile_message(ChannelKind.SMS, {"text": template}, {})


@pytest.mark.fault("S5")
@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ customer.__class__ }}", "two underscores"),
        ("{{ customer['__class__'].__mro__ }}", "two underscores"),
        ("{% include 'other' %}", "stands alone"),
        ("{% render 'other' %}", "stands alone"),
        ("{% if a %}" * 21 + "{% endif %}" * 21, "nested deeper than 20"),
        ("{{ " + "context[" * 90 + "context" + "]" * 90 + " | append: x }}", "bound to nothing"),
        ("{{ " + "context[" * 120 + "context" + "]" * 120 + " }}", "brackets"),
        ("{% if " + " or ".join(["context.a"] * 250) + " %}{% endif %}", "nested"),
        ("x" * 1_000_001, "1000000"),
        ("{{ context.a", "never closed"),
        ("{% raw %}{{ context.a }}", "never closed"),
        ("{{ }}", "empty"),
        ("{% if" + " " * 101 + "context.a %}{% endif %}", "blanks"),
        ("{{ '" + "a" * 4000 + "' }}", "longer than"),
        ("{{ context.a | nothing }}", "no filter nothing"),
        ("{{ context.a | append }}", "append does not take"),
        ("{% break %}", "outside a loop"),
        ("{% nothing %}", "nothing"),
        ("a\x00b", "U+0000"),
        ("a\ud800b", "U+D800"),
    ],
)
def test_what_can_never_be_rendered_is_refused_with_a_sentence(template: str, complaint: str):
    with pytest.raises(TemplateInvalid) as refused:
        compiled(template)

    assert complaint in refused.value.message
    assert refused.value.part == "text"
    assert refused.value.violations[0].pointer == "/parts/text"


def test_a_complaint_names_the_line():
    with pytest.raises(TemplateInvalid) as refused:
        compiled("one\ntwo\n{{ context.a | nothing }}")

    assert refused.value.line == 3
    assert str(refused.value).startswith("text, line 3: There is no filter nothing")


@pytest.mark.fault("S5")
@pytest.mark.parametrize(
    "template",
    [
        "{{" * 400_000,
        "{% raw %}" * 100_000,
        "{{" + " " * 900_000 + "}}",
        "{% comment %}" * 70_000,
        "{% comment %}" * 70_000 + "{% endcomment %}{{",
        "{% if" + "(" * 3_000 + " %}" * 1,
        "{% if x == " + '["a' * 1_300 + " %}",
    ],
    ids=["openings", "raws", "blanks", "comments", "nested comments", "parentheses", "brackets"],
)
def test_a_million_characters_of_nonsense_are_refused_promptly(template: str):
    started = time.monotonic()

    with pytest.raises(TemplateInvalid):
        compiled(template)

    assert time.monotonic() - started < PROMPT_S


@pytest.mark.fault("S5")
@pytest.mark.parametrize(
    ("template", "limit"),
    [
        ("{% for i in (1..100000000) %}x{% endfor %}", "loop_iterations"),
        ("{% for i in (1..200) %}{% for j in (1..200) %}{% endfor %}{% endfor %}", "loop_iterations"),
        ("{% for i in (1..9000) %}{% endfor %}{% for i in (1..9000) %}{% endfor %}", "loop_iterations"),
        (
            "{% assign x = 'xxxxxxxxxx' %}{% for i in (1..60) %}{% assign x = x | append: x %}{% endfor %}",
            "namespace_bytes",
        ),
        ("{% capture x %}{{ customer.big }}{{ customer.big }}{% endcapture %}", "namespace_bytes"),
        ("{% for i in (1..1000) %}{{ customer.big }}{% endfor %}", "output_chars"),
        ("{{ customer.big }}", "output_chars"),
        ("{{ customer.big | replace: '', customer.big }}", "value_chars"),
        ("{{ customer.big | split: '' | join: customer.big }}", "value_chars"),
        ("{{ customer.big | split: '' | uniq | size }}", "filter_work"),
        ("{{ customer.big" + " | upcase" * 100 + " | size }}", "filter_work"),
        ("{% assign n = 999 %}{% for i in (1..99) %}{% assign n = n | times: n %}{% endfor %}", "number_bits"),
        ("{% for i in (1..9999) %}" + "{% if i %}{% endif %}" * 400 + "{% endfor %}", "loop_steps"),
    ],
)
def test_what_passes_a_limit_fails_for_that_person_and_names_the_limit(template: str, limit: str):
    with pytest.raises(RenderError) as failed:
        text_of("x" + template, customer={"big": "b" * 600_000})

    assert (failed.value.part, failed.value.limit) == ("text", limit)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 | divided_by: customer.zero }}",
        "{% if customer.name < 1 %}{% endif %}",
        "{{ customer.name | slice: customer.name }}",
        "{{ customer.list | sort }}",
        "{{ customer.infinite | ceil }}",
        "{% for i in (1..3) limit: customer.name %}{% endfor %}",
        "{% for i in (1..3) limit: -2 %}{% endfor %}",
        "{{ '%E4' | base64_decode }}",
        "{{ 0 | date: customer.long }}",
    ],
)
def test_values_that_do_not_fit_fail_for_that_person_alone(template: str):
    customer: dict[str, Any] = {
        "zero": 0,
        "name": "Ann",
        "list": [1, "a"],
        "infinite": float("inf"),
        "long": "%d" * 100,
    }

    with pytest.raises(RenderError) as failed:
        text_of("x" + template, customer=customer)

    assert failed.value.part == "text"
    assert text_of("x{{ customer.name }}", customer=customer) == "xAnn"


def test_a_context_that_breaks_a_filter_concerns_only_those_whose_message_needs_it():
    template = "Hi {{ customer.name }}{% if customer.vip %}{{ context.n | divided_by: context.zero }}{% endif %}"
    context = {"n": 1, "zero": 0}

    with pytest.raises(RenderError):
        text_of(template, customer={"name": "Ann", "vip": True}, context=context)

    assert text_of(template, customer={"name": "Ben"}, context=context) == "Hi Ben"


def test_the_interpreters_part_has_the_same_limits():
    with pytest.raises(RenderError) as failed:
        text_of("{% increment n %}{% for i in (1..20000) %}{% endfor %}")

    assert failed.value.part == "text"
    assert "limit" in failed.value.message
