"""Which event generators a call may run."""

import re
from collections.abc import Collection
from uuid import UUID

from stentor.campaigns.model import GeneratorType
from stentor.campaigns.sources import GeneratorSource, PublishedGenerator
from stentor.errors import NotFound, Unprocessable

# What no id of a generator has, and what the database could not even be asked for.
_NO_ID = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|.{201}", re.DOTALL)


async def runnable(
    generators: GeneratorSource, brand_id: UUID, generator_id: str, types: Collection[GeneratorType]
) -> tuple[PublishedGenerator, UUID]:
    """The generator, being of one of these types, and the publication that it runs.

    Raises NotFound for one that the brand has not, Unprocessable for one of another type or that was never published.
    """
    generator = None if _NO_ID.search(generator_id) else await generators.find(brand_id, generator_id)
    if generator is None:
        raise NotFound("This brand has no such event generator.")
    if generator.type not in types:
        allowed = " or ".join(f"`{each}`" for each in types)
        raise Unprocessable(
            f"The event generator is of type `{generator.type}`; only one of type {allowed} can run like this."
        )
    if generator.publication_id is None:
        raise Unprocessable("The event generator was never published. Publish it, then run it.")
    return generator, generator.publication_id
