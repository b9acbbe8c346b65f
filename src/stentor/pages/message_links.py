"""Whom a link in a message is about: the one token that its pages share."""

import msgspec

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.audience.topics import TopicService
from stentor.domain.links import LinkSigner, UnsubscribeLink
from stentor.errors import NotFound
from stentor.executions.model import Origin
from stentor.executions.service import ExecutionService


class Message(msgspec.Struct, frozen=True):
    """A message that somebody got: what its link says, where it came from, and the brand whose it is."""

    link: UnsubscribeLink
    origin: Origin
    brand: Brand


class MessageLinks:
    """Reads the tokens in links of messages."""

    def __init__(
        self, links: LinkSigner, executions: ExecutionService, brands: BrandDirectory, topics: TopicService
    ) -> None:
        self._links = links
        self._executions = executions
        self._brands = brands
        self._topics = topics

    async def read(self, token: str) -> Message | None:
        """The message; None for a token that was not made here, and for one of a message that is kept no more."""
        link = self._links.read_unsubscribe(token)
        if link is None:
            return None
        try:
            origin = await self._executions.origin(link.execution_id)
        except NotFound:
            return None
        brand = await self._brands.by_id(origin.brand_id)
        return None if brand is None else Message(link, origin, brand)

    async def topic_name(self, message: Message) -> str:
        """What the message was about; empty where it was about no topic."""
        if message.origin.topic_id is None:
            return ""
        try:
            return (await self._topics.get(message.brand.id, str(message.origin.topic_id))).name
        except NotFound:
            return "…"
