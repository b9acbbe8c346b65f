"""What a template looks like to somebody, and what there is to say of it, from a form that may not be saved yet."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience.customers import CustomerService
from stentor.audience.model import Customer
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.message_checks import MessageCheck
from stentor.campaigns.previews import Sample, TemplatePreview
from stentor.campaigns.sample_payload import sample_payload
from stentor.campaigns.template_checks import TemplateCheckService
from stentor.console.authoring.template_parts import parts_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, TooLarge

CONTEXT_CHARS_MAX = 64 * 1024
"""Of the payload that a preview is made with."""

_NOBODY: Mapping[str, Any] = {
    "external_id": "nobody",
    "email": "somebody@example.org",
    "phone": "+12025550123",
    "time_zone": "UTC",
}


class Look(msgspec.Struct, frozen=True):
    """A template as somebody would get it; `trouble` says why there is nothing to look at, `whom` whose it is, empty for nobody's."""

    preview: TemplatePreview | None
    checks: Sequence[MessageCheck]
    whom: str = ""
    trouble: str = ""

    def count(self, level: str) -> int:
        """How many of the checks are of that level."""
        return sum(check.level == level for check in self.checks)


class TemplateLooks:
    """Looks at templates for pages."""

    def __init__(self, checks: TemplateCheckService, customers: CustomerService, generators: GeneratorService) -> None:
        self._checks = checks
        self._customers = customers
        self._generators = generators

    async def look(self, brand_id: UUID, channel: ChannelKind, form: Mapping[str, str]) -> Look:
        """The template of the form, as its sample's customer would get it. What is wrong with either is told, not raised."""
        try:
            sample = await self.sample(brand_id, form)
            checked = await self._checks.check(
                brand_id, channel, parts_of(channel, form), sample, generator_id=form.get("generator") or None
            )
        except (Invalid, NotFound, TooLarge) as problem:
            return Look(None, (), trouble=problem.detail)
        return Look(checked.preview, checked.checks, whom=_whom(form))

    async def sample(self, brand_id: UUID, form: Mapping[str, str]) -> Sample:
        """For whom and on what occasion the form wants to see it. Raises Invalid, naming its field, for what is none."""
        context = await self._context(brand_id, form)
        said = form.get("who", "").strip()
        if not said:
            return Sample({**_NOBODY, "locale": form.get("language", "")}, context)
        try:
            return Sample(_fields(await self._customers.get(brand_id, said)), context)
        except NotFound:
            raise Invalid.field("/who", "unknown-customer", f"There is no customer {said[:80]!r} here.") from None

    async def payload(self, brand_id: UUID, generator_id: str) -> str:
        """A payload that the generator's schema takes, as JSON to be edited; empty where there is no such generator."""
        try:
            generator = await self._generators.get(brand_id, generator_id)
        except NotFound:
            return ""
        made = sample_payload(generator.context_schema)
        return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() if made else ""

    async def _context(self, brand_id: UUID, form: Mapping[str, str]) -> dict[str, Any]:
        written = form.get("context", "").strip()
        if len(written) > CONTEXT_CHARS_MAX:
            text = f"The payload has {len(written)} characters; at most {CONTEXT_CHARS_MAX} are read."
            raise Invalid.field("/context", "too-large", text)
        if not written and (generator := form.get("generator")):
            written = await self.payload(brand_id, generator)
        if not written:
            return {}
        try:
            context = msgspec.json.decode(written)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid.field("/context", "no-json", f"The payload is no JSON: {error}.") from None
        if not isinstance(context, dict):
            raise Invalid.field("/context", "no-object", 'The payload is no JSON object; write {"name": value}.')
        return context


def _fields(customer: Customer) -> dict[str, Any]:
    """What templates read as `customer.x`: the system fields, which win, and the attributes."""
    return {
        **customer.attributes,
        "external_id": customer.external_id,
        "email": customer.email,
        "phone": customer.phone,
        "locale": customer.locale,
        "time_zone": customer.time_zone,
    }


def _whom(form: Mapping[str, str]) -> str:
    return form.get("who", "").strip()
