"""The functions of this family: each is one small async function, registered under its names.

    @integrations.post("AddChannelTemplates", items_max=100)
    async def add_channel_templates(call: Call, query: OfChannel, body: list[TemplateInput]) -> None:
        \"\"\"Add templates, or rename them.\"\"\"

What it takes is told by its annotations: `query` and `body` are read leniently into them. It answers None for an empty body, a
Spooled, an async generator of lists for an array of any length, or anything else that is JSON. What it raises is answered as text.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from stentor.api.wire.classic.paths import CategoryName, Target, Version
from stentor.api.wire.classic.reading import NoQuery
from stentor.errors import NotFound

Verb: TypeAlias = Literal["GET", "POST"]
Handler: TypeAlias = Callable[..., Awaitable[Any]]

BODY_BYTES_MAX = 1024 * 1024
"""Of most functions; those that take thousands of customers at once say more."""

VERSIONS: frozenset[Version] = frozenset({"current", "v3.0", "v1.6", ""})
OLDER: frozenset[Version] = VERSIONS - {"current"}
"""Where some answers have an older shape."""


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One function. `query` and `body` are None where it reads neither."""

    name: str
    category: CategoryName
    verb: Verb
    handler: Handler
    query: type[msgspec.Struct] | None = None
    body: Any = None
    is_open: bool = False
    """Whether it is for those who have not logged in; its handler gets a Guest in place of a Call."""
    of_one: bool = False
    """Whether an id stands before its name in the path; its handler gets it as `id`."""
    versions: Collection[Version] = VERSIONS
    items_max: int | None = None
    """How many items its body, an array, may have."""
    body_bytes_max: int = BODY_BYTES_MAX

    @property
    def template(self) -> str:
        """Its path, as metrics name it."""
        return f"/{self.category}/{'{id}/' if self.of_one else ''}{self.name}"


class Category:
    """The functions of one category, by verb and name in lower case."""

    def __init__(self, name: CategoryName) -> None:
        self.name = name
        self.functions: list[Function] = []
        self._found: dict[tuple[str, bool], dict[Verb, Function]] = {}
        self.get = functools.partial(self._function, "GET")
        self.post = functools.partial(self._function, "POST")

    def _function(self, verb: Verb, name: str, *also: str, **how: Any) -> Callable[[Handler], Handler]:
        """Registers a handler under these names; `how` is what a Function says beside them."""

        def register(handler: Handler) -> Handler:
            hints = get_type_hints(handler, include_extras=True)
            takes = inspect.signature(handler).parameters
            function = Function(
                name=name,
                category=self.name,
                verb=verb,
                handler=handler,
                query=hints["query"] if "query" in takes else None,
                body=hints["body"] if "body" in takes else None,
                **how,
            )
            self._register(function, *also)
            return handler

        return register

    def _register(self, function: Function, *also: str) -> None:
        self.functions.append(function)
        for each in (function.name, *also):
            known = self._found.setdefault((each.lower(), function.of_one), {})
            if function.verb in known:
                raise ValueError(f"{self.name} has two functions {function.verb} {each}")
            known[function.verb] = function

    def empty(self, name: str, query: type[msgspec.Struct] = NoQuery) -> None:
        """A function about something that nothing is kept of: it reads its parameters, and answers an empty list."""

        async def nothing(_: Any, query: msgspec.Struct) -> list[Any]:  # noqa: ARG001  read for the refusals
            return []

        self._register(Function(name=name, category=self.name, verb="GET", handler=nothing, query=query))

    def unknown(self, name: str, query: type[msgspec.Struct]) -> None:
        """A look-up of one of something that there is none of."""

        async def missing(_: Any, query: msgspec.Struct) -> None:  # noqa: ARG001  read for the refusals
            raise NotFound("There is none of these.")

        self._register(Function(name=name, category=self.name, verb="GET", handler=missing, query=query))

    def by_verb(self, target: Target) -> dict[Verb, Function]:
        """The functions at that path; none where there is no such thing."""
        found = self._found.get((target.function, target.id is not None), {})
        return {verb: one for verb, one in found.items() if target.version in one.versions}
