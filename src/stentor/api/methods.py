"""What OPTIONS answers: the methods of a path, all of them."""

from collections.abc import Sequence

from litestar import HttpMethod, Response
from litestar.handlers import HTTPRouteHandler


def with_options(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The handlers, and one for OPTIONS on each path that has none.

    The framework's own is made with a path's first handler and does not learn of the others.
    """
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, set()).update(handler.http_methods)
    missing = [_options(path, known) for path, known in methods.items() if "OPTIONS" not in known]
    return [*missing, *handlers]


def _options(path: str, methods: set[str]) -> HTTPRouteHandler:
    also = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    allow = ", ".join(sorted(methods | also))

    async def options() -> Response[bytes]:
        return Response(b"", status_code=204, media_type="text/plain", headers={"Allow": allow})

    return HTTPRouteHandler(path, http_method=HttpMethod.OPTIONS, status_code=200)(options)
