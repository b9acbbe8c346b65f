"""Previews: what somebody would read, and where there would be gaps."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from campaign_world import Content
from stentor.campaigns.previews import PreviewService, Sample
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, TooLarge
from stentor.render.deadline import PreviewProcess, PreviewStopped
from stentor.render.errors import TemplateInvalid
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

SMS, EMAIL = ChannelKind.SMS, ChannelKind.EMAIL


@pytest.fixture(scope="module")
def process() -> Iterator[PreviewProcess]:
    process = PreviewProcess(deadline_s=2.0)
    yield process
    process.close()


@pytest.fixture
def previews(db: Database, process: PreviewProcess) -> PreviewService:
    return PreviewService(db, process, Clock())


async def test_a_saved_template_is_shown_in_the_customers_language(previews: PreviewService, content: Content):
    template = await content.template(en="Hi {{ customer.name }}", de="Hallo {{ customer.name }}")

    shown = await previews.of_template(
        content.brand_id, template.id, Sample(customer={"name": "Ann", "locale": "de-AT"})
    )

    assert (shown.language, shown.parts, shown.blanks, shown.problem) == ("de", {"text": "Hallo Ann"}, {}, "")


async def test_of_a_services_template_it_is_told_which_one_it_is(
    db: Database, previews: PreviewService, content: Content
):
    partner = await World(db, content.brand_id, new_id()).partner(name="{{ kick }} off")

    shown = await previews.of_template(content.brand_id, partner.template_id, Sample())

    assert shown.parts == {"text": "TemplateID 7 of channel 505: {{ kick }} off"}
    assert (shown.blanks, shown.problem, shown.language) == ({}, "", None)


async def test_a_language_that_is_asked_for_goes_first_and_falls_back(previews: PreviewService, content: Content):
    template = await content.template(en="Hi", de="Hallo")
    german = Sample(customer={"locale": "de"})

    asked = [
        (await previews.of_template(content.brand_id, template.id, german, language=language)).language
        for language in ("en", "de-CH", "fr")
    ]

    assert asked == ["en", "de", "en"]


async def test_gaps_are_named_by_part(previews: PreviewService, brand_id: UUID):
    parts = {"title": "{{ context.match }}", "body": "Hi {{ customer.name }}, from {{ brand.name }}"}

    shown = await previews.of_parts(brand_id, ChannelKind.PUSH, parts, Sample(context={"match": "A vs B"}))

    assert shown.parts == {"title": "A vs B", "body": "Hi , from Goal Rush"}
    assert shown.blanks == {"body": ["customer.name"]}


async def test_a_bare_name_is_taken_from_the_samples_context_or_customer(previews: PreviewService, brand_id: UUID):
    sample = Sample(customer={"plan": "gold"}, context={"match": "A vs B"})

    shown = await previews.of_parts(brand_id, SMS, {"text": "{{ match }} {{ plan }}"}, sample)

    assert shown.parts == {"text": "A vs B gold"}
    assert shown.bindings == {"match": "context.match", "plan": "customer.attributes.plan"}


async def test_a_mail_is_shown_as_it_would_be_sent(previews: PreviewService, brand_id: UUID):
    parts = {
        "subject": "Soon",
        "html": "<style>p { color: red }</style><p>Hi {{ customer.name }}</p><a href='{{ unsubscribe_url }}'>Leave</a>",
    }

    shown = await previews.of_parts(brand_id, EMAIL, parts, Sample(customer={"name": "<Ann>"}))

    assert '<p style="color: red;">Hi &lt;Ann&gt;</p>' in shown.parts["html"]
    assert "Hi <Ann>" in shown.parts["text"]
    assert "Leave: https://preview.invalid/u/nobody" in shown.parts["text"]


async def test_what_could_not_be_sent_says_why(previews: PreviewService, brand_id: UUID):
    shown = await previews.of_parts(brand_id, SMS, {"text": "{{ context.match }}"}, Sample())

    assert shown.problem == "text: it is empty"


async def test_a_draft_that_is_no_template_is_refused(previews: PreviewService, brand_id: UUID):
    with pytest.raises(TemplateInvalid, match="text, line 2: "):
        await previews.of_parts(brand_id, SMS, {"text": "one\n{{ two"}, Sample())
    with pytest.raises(Invalid, match="at most 50 parts"):
        await previews.of_parts(brand_id, ChannelKind.PUSH, {f"data.{n}": "x" for n in range(60)}, Sample())


@pytest.mark.fault("S5")
async def test_a_template_that_goes_on_for_ever_is_stopped(db: Database, brand_id: UUID):
    process = PreviewProcess(deadline_s=0.001)
    loops = "{% for a in (1..1000) %}{% for b in (1..9) %}{{ b | times: a }}{% endfor %}{% endfor %}"

    with pytest.raises(PreviewStopped):
        await PreviewService(db, process, Clock()).of_parts(brand_id, EMAIL, {"subject": "x", "html": loops}, Sample())

    process.close()


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: object()}])
async def test_a_sample_that_is_no_json_is_refused(previews: PreviewService, brand_id: UUID, value: object):
    with pytest.raises(Invalid, match="cannot be used"):
        await previews.of_parts(brand_id, SMS, {"text": "x"}, Sample(context={"value": value}))


async def test_a_sample_is_bounded(previews: PreviewService, brand_id: UUID):
    with pytest.raises(TooLarge):
        await previews.of_parts(brand_id, SMS, {"text": "x"}, Sample(context={"value": "x" * 300_000}))


async def test_another_brands_template_is_as_missing_as_none(
    previews: PreviewService, content: Content, other_brand_id: UUID
):
    template = await content.template(en="Hi")

    for template_id in (template.id, new_id()):
        with pytest.raises(NotFound):
            await previews.of_template(other_brand_id, template_id, Sample())
