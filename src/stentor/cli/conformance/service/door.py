"""The scripted hub's door: credentials, paths and bodies in any casing, and the troubles that every hub has at times.

Each trouble comes once, and is one that the API documents: too many calls when the list is first asked for; then, once a page
of it was answered, a token that is over; and after that a mistake of the hub's own.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from stentor.cli.conformance.service.book import DETAILS, LOGIN, Book, Entry, Trouble
from stentor.cli.conformance.service.functions import GETS, NOTHING, POSTS, Asked
from stentor.cli.conformance.service.reading import Refused, refuse

BODY_BYTES_MAX = 16 * 1024 * 1024

EXPIRED = "Authorization-Token Expired"
TOO_MANY = {
    "status": 429,
    "error": "Too Many Requests",
    "message": "You have exceeded the rate limit for this API group. Please retry later.",
}

_VERSIONS = frozenset({"current", "v3.0", "v1.6"})
_CATEGORIES = frozenset({"general", "integrations", "customers", "actions", "groups", "segments", "model"})


class Door:
    """Answers calls, and notes each in the book."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._struck: set[Trouble] = set()

    def app(self) -> web.Application:
        """What is to be served."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        """Answers one call."""
        version, function = _function_of(request.path)
        query = {name.lower(): value for name, value in request.query.items()}
        entry = self._entry(request.headers)
        trouble: Trouble = ""
        try:
            asked = Asked(version, query, await _body_of(request))
            trouble = self._trouble(function, query, entry)
            if trouble:
                answered = self._troubled(trouble)
                # Whoever was within a list may well begin it anew.
                self._book.setbacks += _is_within_list(function, query)
            else:
                answered = self._answered(request.method, function, asked, entry)
        except Refused as no:
            answered = web.Response(status=no.status, text=no.text)
        reason = answered.text or "" if answered.status != 200 else ""
        asked_for = request.path if function == LOGIN else request.path_qs
        self._book.add_call(function, f"{request.method} {asked_for}", entry, answered.status, reason, trouble)
        await self._book.heard()
        return answered

    def _answered(self, method: str, function: str, asked: Asked, entry: Entry) -> web.Response:
        if function != LOGIN:
            _let_in(entry)
        known = GETS if method == "GET" else POSTS if method == "POST" else {}
        if function in known:
            said = known[function](self._book, asked)
            return web.Response() if said is NOTHING else _json(200, said)
        if method == "GET" and function.partition("/")[2].startswith("get") and function not in POSTS:
            # Of what there is no data for, a hub says that there is none.
            return _json(200, [])
        raise Refused(405, "Method Not Allowed")

    def _entry(self, headers: Mapping[str, str]) -> Entry:
        token, key = headers.get("Authorization-Token", ""), headers.get("X-API-KEY", "")
        if key:
            return "key" if key == self._book.target.key else "wrong key"
        if token:
            return "token" if token in self._book.tokens else "wrong token"
        return "none"

    def _trouble(self, function: str, query: Mapping[str, str], entry: Entry) -> Trouble:
        main = self._book.main
        if main is None or function == LOGIN or entry not in {"token", "key"}:
            return ""
        if function == DETAILS and query.get("campaignid") == str(main.number) and "busy" not in self._struck:
            return self._strike("busy")
        if not self._book.pulls(main):
            return ""
        if entry == "token" and "expired" not in self._struck:
            self._book.tokens.clear()
            return self._strike("expired")
        return "" if "broken" in self._struck else self._strike("broken")

    def _strike(self, trouble: Trouble) -> Trouble:
        self._struck.add(trouble)
        return trouble

    def _troubled(self, trouble: Trouble) -> web.Response:
        match trouble:
            case "busy":
                answered = _json(429, TOO_MANY)
                answered.headers["Retry-After"] = str(self._book.target.retry_after_s)
                return answered
            case "expired":
                return web.Response(status=403, text=EXPIRED)
            case _:
                return web.Response(status=500, text="The hub made a mistake; ask again.")


def _let_in(entry: Entry) -> None:
    match entry:
        case "token" | "key":
            return
        case "wrong token":
            refuse(EXPIRED, 403)
        case _:
            refuse("Unauthorized", 401)


def _is_within_list(function: str, query: Mapping[str, str]) -> bool:
    return function == DETAILS and query.get("$skip", query.get("skip", "0")) != "0"


def _function_of(path: str) -> tuple[str, str]:
    """The version and what follows it, in lower case."""
    parts = path.strip("/").lower().split("/")
    version = parts.pop(0) if parts[0] in _VERSIONS else ""
    is_known = len(parts) == 2 and parts[0] in _CATEGORIES
    return version, "/".join(parts) if is_known else ""


async def _body_of(request: web.Request) -> Any:
    if request.method != "POST":
        return None
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        refuse(f"The body is no JSON: {error}.")
    except web.HTTPRequestEntityTooLarge:
        refuse(f"A body has at most {BODY_BYTES_MAX} bytes.")


def _json(status: int, said: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(said), content_type="application/json")
