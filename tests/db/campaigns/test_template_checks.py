"""Checks before publishing, and the fields that templates may name."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from campaign_world import Content
from stentor.audience.customers import CustomerService
from stentor.audience.model import CustomerPatch
from stentor.audience.segments.service import SegmentService
from stentor.campaigns.content import CONTENT_CHARS_MAX
from stentor.campaigns.known import known_campaigns
from stentor.campaigns.previews import PreviewService, Sample
from stentor.campaigns.template_checks import CheckedTemplate, TemplateCheckService
from stentor.campaigns.template_fields import FIELDS_MAX, TemplateFieldService
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound
from stentor.render.deadline import PreviewProcess

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["league", "home"],
    "properties": {
        "league": {"type": "string"},
        "kick_off": {"type": ["string", "null"], "format": "date-time", "title": "When it begins"},
        "home": {"$ref": "#/$defs/club"},
        "not a name": {"type": "string"},
    },
    "$defs": {
        "club": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "web": {"type": "string", "format": "uri"}},
        }
    },
}


@pytest.fixture(scope="module")
def process() -> Iterator[PreviewProcess]:
    process = PreviewProcess(deadline_s=2.0)
    yield process
    process.close()


@pytest.fixture
def checks(db: Database, process: PreviewProcess) -> TemplateCheckService:
    return TemplateCheckService(db, PreviewService(db, process, Clock()))


@pytest.fixture
def fields(db: Database) -> TemplateFieldService:
    return TemplateFieldService(db, SegmentService(db, known_campaigns, []))


def codes(checked: CheckedTemplate) -> list[tuple[str, str, str, int | None]]:
    return [(check.level, check.code, check.part, check.line) for check in checked.checks]


async def test_a_mail_that_is_well_is_told_so(checks: TemplateCheckService, brand_id: UUID):
    parts = {
        "subject": "Hi",
        "mjml": '<mjml><mj-body><mj-section><mj-column><mj-text><a href="{{ unsubscribe_url }}">out</a></mj-text></mj-column></mj-section></mj-body></mjml>',
    }

    checked = await checks.check(brand_id, EMAIL, parts, Sample())

    assert {check.level for check in checked.checks} == {"fine"}
    assert {check.code for check in checked.checks} == {"unsubscribe", "size", "link", "text"}
    assert checked.preview is not None
    assert checked.preview.parts["html"].startswith("<!DOCTYPE html>")


async def test_each_part_that_is_no_template_is_told_with_its_line(checks: TemplateCheckService, brand_id: UUID):
    parts = {"subject": "{{ x | nosuch }}", "html": "<p>\n\n{% if x %}</p>", "text": "fine"}

    checked = await checks.check(brand_id, EMAIL, parts, Sample())

    assert {check[:3] for check in codes(checked) if check[0] == "error"} == {
        ("error", "template-invalid", "subject"),
        ("error", "template-invalid", "html"),
    }
    assert checked.preview is None
    missing = await checks.check(brand_id, EMAIL, {"subject": "", "html": "<p>x</p>"}, Sample())
    assert ("error", "template-invalid", "subject", None) in codes(missing)
    assert "needs its subject" in missing.checks[0].message


async def test_fields_that_may_be_missing_go_by_the_generators_schema(checks: TemplateCheckService, content: Content):
    await content.generator("Hi", SCHEMA)
    text = "{{ leauge }} {{ context.kick_off }}\n{{ context.kickoff }} {{ context.league }} {{ brand.colour }}"

    checked = await checks.check(
        content.brand_id, SMS, {"text": text}, Sample(context={"league": "NFL"}), generator_id="match"
    )

    messages = {(check.code, check.line): check.message for check in checked.checks if check.level == "error"}
    assert messages["unknown-name", 2].startswith("A brand has no such field")
    assert ("blank-field", 1) in messages
    assert "Did you mean context.kick_off?" in messages["blank-field", 2]
    warnings = [check.message for check in checked.checks if check.level == "warning"]
    assert any("leauge" in text and text.endswith("Did you mean context.league?") for text in warnings)
    assert "context.kick_off printed nothing for this person." in warnings
    with pytest.raises(NotFound):
        await checks.check(content.brand_id, SMS, {"text": "x"}, Sample(), generator_id="nobody's")


async def test_a_mail_without_a_way_out_and_a_message_that_fails_are_told(checks: TemplateCheckService, brand_id: UUID):
    html = '<a href="https://example.org">x</a>{% if unsubscribe_url %}{% endif %}'
    lacking = await checks.check(brand_id, EMAIL, {"subject": "s", "html": html, "text": "x"}, Sample())
    failing = await checks.check(brand_id, SMS, {"text": "{{ context.list | join }}{{ context.no }}"}, Sample())

    assert [check[1:3] for check in codes(lacking) if check[0] == "warning"] == [
        ("no-unsubscribe", "html"),
        ("no-unsubscribe", "text"),
    ]
    blank = await checks.check(brand_id, EMAIL, {"subject": "s", "html": "<p>{{ context.x }}</p>"}, Sample())

    assert [check[2] for check in codes(blank) if check[1] == "blank-here"] == ["html"]
    assert codes(failing)[0][:2] == ("error", "cannot-be-sent")
    with pytest.raises(Invalid):
        await checks.check(brand_id, SMS, {"text": "x" * (CONTENT_CHARS_MAX + 1)}, Sample())


async def test_fields_come_from_the_schema_from_people_and_from_the_brand(
    fields: TemplateFieldService, content: Content, db: Database
):
    wide = {f"f{number}": {"type": "string"} for number in range(FIELDS_MAX + 10)}
    await content.generator("Hi", SCHEMA)
    await content.generator("Ho", {"type": "object", "properties": wide}, name="wide")
    person = CustomerPatch(external_id="fan", attributes={"tier": "gold", "not a name": 1, "</td>": 2})
    await CustomerService(db).upsert(content.brand_id, person)

    found = {one.name: one for one in await fields.fields(content.brand_id, generator_id="match")}

    told = {name: (one.type, one.always, one.about) for name, one in found.items() if one.source == "context"}
    assert told == {
        "context.league": ("text", True, ""),
        "context.kick_off": ("date-time", False, "When it begins"),
        "context.home": ("object", True, ""),
        "context.home.name": ("text", True, ""),
        "context.home.web": ("URL", False, ""),
    }
    assert (found["customer.tier"].type, found["customer.tier"].about) == ("text", "100% of a sample have it")
    assert {"customer.email", "brand.name", "unsubscribe_url", "now", "today"} <= found.keys()
    assert not {name for name in found if " " in name or "<" in name}
    many = await fields.fields(content.brand_id, generator_id="wide")
    assert sum(one.source == "context" for one in many) == FIELDS_MAX
    assert not [one for one in await fields.fields(content.brand_id) if one.source == "context"]
