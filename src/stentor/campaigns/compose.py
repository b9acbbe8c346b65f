"""From a publication to messages: compiled once per publication and language, bound once per execution."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from stentor.campaigns.kept import Kept
from stentor.campaigns.model import Publication
from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import BoundMessage, CompiledMessage
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.messages import compile_message
from stentor.render.skeleton import Rendered

# Thousands of small executions of one generator share what was compiled; their waves share what was bound.
COMPILED_CHARS_MAX = 16 << 20
BOUND_CHARS_MAX = 16 << 20
# What an entry takes besides its text.
_ENTRY_CHARS = 4096


class UnusableMessage:
    """Stands for a template that this version cannot compile, though the one that published it could."""

    def __init__(self, refusal: TemplateInvalid) -> None:
        self._refusal = refusal

    def render(
        self, customer: Mapping[str, Any], *, send_id: str, address: str, at: datetime, unsubscribe_url: str = ""
    ) -> Rendered:
        """Raises RenderError, for each person alike: an execution under way fails with a reason, not its worker."""
        del customer, send_id, address, at, unsubscribe_url
        raise RenderError(self._refusal.message, part=self._refusal.part)


class CampaignRenderers:
    """Compiles and binds publications, and keeps the lately used ones."""

    def __init__(self) -> None:
        self._compiled: Kept[tuple[UUID, ChannelKind, int], CompiledMessage] = Kept(COMPILED_CHARS_MAX)
        self._bound: Kept[tuple[UUID, ChannelKind, int], BoundMessage] = Kept(BOUND_CHARS_MAX)

    def bind(
        self,
        publication: Publication,
        channel: ChannelKind,
        variant: int,
        context_id: UUID | None,
        context: Mapping[str, Any],
    ) -> BoundMessage | UnusableMessage:
        """The messages of one context on one channel in one language; `context_id` always stands for the same context.

        It is an execution's id, and None for a recipient's own context, which is used once and not kept.
        """
        key = None if context_id is None else (context_id, channel, variant)
        if key is not None and (kept := self._bound.get(key)) is not None:
            return kept
        try:
            compiled = self._compile(publication, channel, variant)
        except TemplateInvalid as refusal:
            return UnusableMessage(refusal)
        content = publication.content
        bound = compiled.bind(
            context=context,
            brand=content.brand,
            sender=content.mail_sender,
            one_click=content.consent_basis != "none" or content.is_test_send,
        )
        if key is not None:
            self._bound.put(key, bound, bound.skeleton.chars + len(str(context)) + _ENTRY_CHARS)
        return bound

    def _compile(self, publication: Publication, channel: ChannelKind, variant: int) -> CompiledMessage:
        key = publication.id, channel, variant
        if (kept := self._compiled.get(key)) is not None:
            return kept
        route, wording = publication.content.wording(channel, variant)
        parts = wording.parts
        compiled = compile_message(channel, parts, publication.content.bindings, app=route.app)
        self._compiled.put(key, compiled, sum(map(len, parts.values())) + _ENTRY_CHARS)
        return compiled
