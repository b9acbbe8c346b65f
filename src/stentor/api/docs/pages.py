"""The reference for people: pages made from the OpenAPI document, which need no script and nobody else's host."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import resources
from typing import Any

import msgspec
from jinja2 import Environment
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from markupsafe import Markup, escape

from stentor.api.problems import described
from stentor.html import templates_of

_METHODS = ("get", "post", "put", "patch", "delete")
_HTML = "text/html"


class Reference:
    """The document as JSON and as pages, made when somebody asks first: that takes half a second, and most processes never are."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        """`document` says what there is once the app has all its routes."""
        self._made_from = document

    @cached_property
    def _document(self) -> dict[str, Any]:
        return self._made_from()

    @cached_property
    def _pages(self) -> Environment:
        pages = templates_of("stentor.api.docs")
        pages.filters.update(prose=prose, pretty=_pretty, type_of=type_of, title=_title)
        return pages

    @cached_property
    def json(self) -> bytes:
        """What `/openapi.json` answers."""
        return msgspec.json.encode(self._document)

    @cached_property
    def reference(self) -> bytes:
        """The page of all operations and types."""
        document = self._document
        page = self._pages.get_template("reference.html")
        return page.render(
            document=document, groups=by_tag(document), schemas=document["components"]["schemas"]
        ).encode()

    @cached_property
    def problems(self) -> bytes:
        """The page of all problems."""
        return self._pages.get_template("problems.html").render(problems=described(), explained=EXPLAINED).encode()

    @cached_property
    def style(self) -> bytes:
        """The style sheet of both pages."""
        return resources.files("stentor.api.docs").joinpath("reference.css").read_bytes()

    def routes(self) -> Router:
        """`/openapi.json`, `/docs`, `/docs/problems` and their style sheet; `/` leads to them."""
        return Router(
            "/",
            route_handlers=[
                _root,
                _page("/openapi.json", lambda: self.json, "application/json"),
                _page("/docs", lambda: self.reference, _HTML),
                _page("/docs/problems", lambda: self.problems, _HTML),
                _page("/docs/reference.css", lambda: self.style, "text/css"),
            ],
        )


def by_tag(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of each tag, in the order of the document: what the reference's contents list."""
    groups = {tag["name"]: {**tag, "operations": []} for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if operation := methods.get(method):
                groups[operation["tags"][0]]["operations"].append({**operation, "path": path, "method": method.upper()})
    return [group for group in groups.values() if group["operations"]]


def type_of(schema: dict[str, Any]) -> Markup:
    """A schema in a few words, with a link to the type that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#type-{0}">{0}</a>').format(name)
    if kinds := schema.get("anyOf"):
        return Markup(" or ").join(type_of(kind) for kind in kinds)
    if "enum" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        return Markup(", ").join([Markup("array of ") + type_of(schema.get("items", {})), *_limits(schema)])
    kind = escape(schema.get("format") or schema.get("type") or "any JSON")
    return Markup(", ").join([kind, *_limits(schema)])


_RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))


def _limits(schema: dict[str, Any]) -> Iterator[Markup]:
    for least, most, unit in _RANGES:
        match schema.get(least), schema.get(most):
            case None, None:
                continue
            case low, None:
                yield escape(f"at least {low}{unit}")
            case None, high:
                yield escape(f"at most {high}{unit}")
            case low, high:
                yield escape(f"{low} to {high}{unit}")
    if "pattern" in schema:
        yield Markup("pattern <code>{}</code>").format(schema["pattern"])


def prose(text: str) -> Markup:
    """Text with `code` and [links](…) as in Markdown; everything else is shown as it is."""
    out = Markup()
    for index, piece in enumerate(text.split("`")):
        out += Markup("<code>{}</code>").format(piece) if index % 2 else _linked(piece)
    return out


def _linked(text: str) -> Markup:
    before, bracket, rest = text.partition("[")
    label, closing, after = rest.partition("](")
    target, end, tail = after.partition(")")
    if not (bracket and closing and end and target.startswith(("/", "#"))):
        return escape(text)
    return escape(before) + Markup('<a href="{}">{}</a>').format(target, label) + _linked(tail)


def _title(tag: str) -> str:
    """`event-generators` as a heading: Event generators."""
    return tag.replace("-", " ").capitalize()


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@get("/", include_in_schema=False)
async def _root() -> Redirect:
    return Redirect("/docs", status_code=307)


def _page(path: str, content: Callable[[], bytes], media: str) -> HTTPRouteHandler:
    async def show() -> Response[bytes]:
        # In a thread: whoever else is being answered does not wait for the first one's page.
        return Response(await asyncio.to_thread(content), media_type=media, headers={"Cache-Control": "max-age=60"})

    return get(path, include_in_schema=False)(show)


EXPLAINED: dict[str, str] = {
    "body-incomplete": "The connection broke in the middle of the body. Send it again; an import goes on where it stood.",
    "link-expired": "A link to a file ends: one to send to after fifteen minutes, one to fetch from after a week. Ask for another.",
    "link-forged": "The link is not as it was answered. Take all of it, to its last character, and change nothing.",
    "body-too-slow": "The body came slower than 10 kB/s after its first 30 seconds. Send it again over a better line.",
    "conflict": "The thing exists already, or its present state does not allow this. The detail says which.",
    "forbidden": "The key is valid, but lacks the scope that this needs. Make one with `stentor key create --scope …`.",
    "internal-error": "A bug of ours. It is in the log under the request id; trying again may help.",
    "invalid-request": "Each entry of `violations` names a place in the request (a JSON pointer), a code and what to do.",
    "method-not-allowed": "The path exists, but not with this method; the header `Allow` lists those that it takes.",
    "not-found": "Nothing is at this path, or it belongs to a group that the key cannot see: both look the same.",
    "preview-stopped": "The preview took longer than a quarter of a second, or too much memory. Look for loops over long lists.",
    "public-url-needed": "A sender to real people is switched on only where unsubscribe links work: start with `--public-url`.",
    "quota-exceeded": "The group has as many of these as it may have. `detail` says how many that are, and what to do.",
    "rate-limited": "Too many calls in this second. Wait as long as `Retry-After` says.",
    "template-invalid": "A part of the template cannot be used. The detail names the part and the line, and says what to do.",
    "too-large": "The body is larger than 1 MiB. Bulk data goes through an import, which streams.",
    "unauthenticated": "No key came, or it is unknown or revoked. Send `Authorization: Bearer <token>`.",
    "no-room": "The disk of the database has less room than is kept free. What was stored of a file stays; send the rest when there is room.",
    "unavailable": "The database or another part does not answer right now. Nothing was half done; `Retry-After` says when to ask again.",
    "unprocessable": "The request is understood, but refused as a whole, such as an idempotency key used for another request.",
    "unsupported-media": "The Content-Type is not one that this path reads; most read `application/json`, uncompressed.",
}
