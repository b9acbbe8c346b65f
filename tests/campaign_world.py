"""A brand's content for tests: short ways to make templates, campaigns and event generators."""

from typing import Any
from uuid import UUID

import msgspec

from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.model import CampaignDraft, Generator, GeneratorDraft, Route, Template, TemplateContent
from stentor.campaigns.service import CampaignService
from stentor.campaigns.templates import TemplateService
from stentor.domain.vocabulary import ChannelKind


class Content(msgspec.Struct, frozen=True):
    """A brand's templates, campaigns and generators, and short ways to make them."""

    brand_id: UUID
    templates: TemplateService
    campaigns: CampaignService
    generators: GeneratorService

    async def template(self, name: str = "Match starts", **texts: str) -> Template:
        """An sms template, its languages as keywords; the first one is the default."""
        variants = {language: {"text": text} for language, text in texts.items()}
        content = TemplateContent(next(iter(texts)), variants)
        return await self.templates.create(self.brand_id, name=name, channel=ChannelKind.SMS, content=content)

    async def generator(self, text: str, schema: dict[str, Any] | None = None, *, name: str = "match") -> Generator:
        """An unpublished generator of a campaign that says this by sms; `name` is its id too."""
        template = await self.template(name, en=text)
        route = Route(ChannelKind.SMS, template.id)
        draft = CampaignDraft(name=name, consent_basis="topic", routes=(route,))
        campaign = await self.campaigns.create(self.brand_id, draft)
        return await self.generators.create(
            self.brand_id,
            GeneratorDraft(name=name, campaign_id=campaign.id, context_schema=schema),
            generator_id=name,
        )
