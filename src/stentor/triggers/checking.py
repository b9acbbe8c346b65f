"""What every call has to fulfil, whoever makes it: a generator that runs, and a context that fits it."""

from collections.abc import Collection
from typing import NamedTuple

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.campaigns.model import GeneratorType
from stentor.campaigns.sources import GeneratorSource, PublishedGenerator
from stentor.domain.ids import new_id
from stentor.errors import Invalid, NotFound
from stentor.triggers.context import checked_context
from stentor.triggers.model import QueuedCall, RunCall
from stentor.triggers.runnable import runnable

TOPIC_KEY_CHARS_MAX = 200


class CheckedCall(NamedTuple):
    """A call that may run, and what it is of."""

    brand: Brand
    generator: PublishedGenerator
    queued: QueuedCall


class CallChecker:
    """Says of calls, as of less than a second ago, whether they may run."""

    def __init__(self, brands: BrandDirectory, generators: GeneratorSource) -> None:
        self._brands = brands
        self._generators = generators

    async def check(self, call: RunCall, types: Collection[GeneratorType]) -> CheckedCall:
        """The call as it is to be written, its generator being of one of these types.

        Raises NotFound for a generator that the brand has not; Unprocessable for one of another type, and for one that was
        never published; Invalid, naming the field, for a context that breaks the generator's schema or a limit.
        """
        brand = await self._brands.by_id(call.brand_id)
        generator, publication_id = await runnable(self._generators, call.brand_id, call.generator_id, types)
        if brand is None:
            raise NotFound("There is no such brand.")
        _check_topic_key(call.topic_key)
        context = checked_context(call.context)
        if generator.context_schema is not None and (violations := generator.context_schema.violations(call.context)):
            raise Invalid(violations[0].message, violations=violations)
        queued = QueuedCall(
            id=new_id(call.start_at),
            brand_id=brand.id,
            rate_per_s=brand.settings.run_rate_per_s,
            publication_id=publication_id,
            generator_id=call.generator_id,
            topic_key=call.topic_key,
            context=context,
            lane=generator.lane,
            is_test=call.is_test,
            triggered_by=call.triggered_by,
            deadline_s=generator.deadline_s,
            start_at=call.start_at,
        )
        return CheckedCall(brand, generator, queued)


def _check_topic_key(topic_key: str) -> None:
    if not 1 <= len(topic_key) <= TOPIC_KEY_CHARS_MAX:
        message = f"A topic_key has 1 to {TOPIC_KEY_CHARS_MAX} characters: the key or the id of a topic."
        raise Invalid.field("/topic_key", "length", message)
    if "\x00" in topic_key:
        raise Invalid.field("/topic_key", "nul-character", "The topic_key has a NUL character. Remove it.")
