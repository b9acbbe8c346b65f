"""Lists, page by page: a cursor that says where the next one begins, or page numbers for the clients that count."""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.request import ApiRequest
from stentor.errors import Invalid

T = TypeVar("T")
R = TypeVar("R")
P = TypeVar("P")

LIMIT_DEFAULT = 50
LIMIT_MAX = 100
# Page numbers need the whole list counted; past this many entries only a cursor finds its way.
NUMBERED_MAX = 5_000

_TAG_BYTES = 12


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What every list takes."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many at most; a page may be shorter.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[
        str | None, Meta(description="`next_cursor` of the page before; leave it out for the first page.")
    ] = None
    page: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=NUMBERED_MAX,
                description="Number of a page, for clients that count pages: the answer then has `links` and `meta`.",
            ),
        ]
        | None
    ) = None
    per_page: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many a numbered page has.")] | None = None


class Links(msgspec.Struct, frozen=True):
    """Where other pages are."""

    first: str
    last: str
    prev: str | None
    next: str | None


class PageMeta(msgspec.Struct, frozen=True, kw_only=True):
    """Which page this is."""

    current_page: int
    from_: Annotated[int | None, Meta(description="Number of the first item on the page.")] = msgspec.field(name="from")
    last_page: int
    path: str
    per_page: int
    to: int | None
    total: int


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """One page. `next_cursor` is null on the last one."""

    data: Sequence[T]
    next_cursor: str | None = None
    links: Links | UnsetType = UNSET
    meta: PageMeta | UnsetType = UNSET


class Walk(msgspec.Struct, Generic[R, P], frozen=True):
    """How a list is read on: `fetch` gets what comes behind a position, `position` says where an entry stands."""

    fetch: Callable[[P | None, int], Awaitable[Sequence[R]]]
    position: Callable[[R], P]
    kind: type[P]


async def listing(request: ApiRequest, query: ListQuery, walk: Walk[R, P], show: Callable[[R], T]) -> Listing[T]:
    """The page that the query asks for, each entry as `show` makes it. Raises Invalid for a cursor that is not ours."""
    if query.page is not None or query.per_page is not None:
        return await _numbered(request, query, walk, show)
    cursors = Cursors(request.settings.secret)
    path = request.scope["path"]
    after = None if query.cursor is None else cursors.opened(path, query.cursor, walk.kind)
    rows = await walk.fetch(after, query.limit)
    more = len(rows) == query.limit and bool(await walk.fetch(walk.position(rows[-1]), 1))
    return Listing([show(row) for row in rows], cursors.sealed(path, walk.position(rows[-1])) if more else None)


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """Where a counted list is read on: behind which entry, and how many there were until there."""

    position: Any
    entries: int


async def counted_listing(
    request: ApiRequest,
    query: ListQuery,
    walk: Walk[R, P],
    show: Callable[[R], T],
    *,
    total: Callable[[], Awaitable[int]],
) -> Listing[T]:
    """As `listing`, always with `links` and `meta` beside `next_cursor`: for the clients of the older groups API.

    Where a page is asked for by its number, all before it are passed over; past `NUMBERED_MAX` entries a cursor leads on,
    and the links lead by cursors. Raises Invalid.
    """
    size = query.per_page or query.limit
    cursors, path = Cursors(request.settings.secret), request.scope["path"]
    seen, after = 0, None
    if query.cursor is not None:
        mark = cursors.opened(path, query.cursor, _Seen)
        seen, after = mark.entries, msgspec.convert(mark.position, walk.kind)
    else:
        page = query.page or 1
        if page * size > NUMBERED_MAX:
            text = f"Entries past the {NUMBERED_MAX:,}th have no page numbers. Go on with `next_cursor`, as `cursor`."
            raise Invalid.field("/page", "too-long", text)
        while seen < (page - 1) * size and (
            passed := await walk.fetch(after, min(LIMIT_MAX, (page - 1) * size - seen))
        ):
            seen, after = seen + len(passed), walk.position(passed[-1])
        seen = (page - 1) * size
    rows = await walk.fetch(after, size)
    more = len(rows) == size and bool(await walk.fetch(walk.position(rows[-1]), 1))
    behind = seen + len(rows)
    cursor = cursors.sealed(path, _Seen(walk.position(rows[-1]), behind)) if more else None
    counted = max(await total(), behind + more)
    page, last = seen // size + 1, max(1, -(-counted // size))
    base = f"{request.base_url_text}{path}"
    narrowed = [(name, text) for name, text in request.query_params.items() if name not in _PLACES]

    def link(**places: int | str) -> str:
        return f"{base}?{urlencode([*narrowed, *places.items(), ('per_page', size)])}"

    is_numbered = (page + 1) * size <= NUMBERED_MAX
    following = link(page=page + 1) if is_numbered else link(cursor=cursor or "")
    return Listing(
        [show(row) for row in rows],
        cursor,
        Links(
            link(page=1),
            link(page=last),
            link(page=page - 1) if 1 < page <= last else None,
            following if more else None,
        ),
        PageMeta(
            current_page=page,
            from_=seen + 1 if rows else None,
            last_page=last,
            path=base,
            per_page=size,
            to=behind if rows else None,
            total=counted,
        ),
    )


class _Reached(msgspec.Struct, frozen=True, array_like=True):
    """Where a search goes on, how many pages it had until there, and how many entries."""

    position: Any
    pages: int
    entries: int


async def searched_listing(
    request: ApiRequest,
    query: ListQuery,
    find: Callable[[P | None, int], Awaitable[tuple[Sequence[R], P | None]]],
    show: Callable[[R], T],
    *,
    kind: type[P],
) -> Listing[T]:
    """As `counted_listing`, of what has to be searched for: a page may be short although another one follows.

    `find` gives what it found behind a position, and the position to go on from, None at the end. Nothing is counted ahead:
    `total` is what was found until here, and one more where the search goes on. Raises Invalid for any page number but 1.
    """
    size = query.per_page or query.limit
    cursors, path = Cursors(request.settings.secret), request.scope["path"]
    begun = _Reached(None, 0, 0)
    if query.cursor is not None:
        begun = cursors.opened(path, query.cursor, _Reached)
    elif query.page not in {None, 1}:
        text = "A search has no page numbers. Go on with `next_cursor`, as `cursor`, or with `links.next`."
        raise Invalid.field("/page", "no-page-numbers", text)
    after = None if begun.position is None else msgspec.convert(begun.position, kind)
    rows, behind = await find(after, size)
    seen = begun.entries + len(rows)
    reached = None if behind is None else cursors.sealed(path, _Reached(behind, begun.pages + 1, seen))
    base = f"{request.base_url_text}{path}"
    searched = [(name, text) for name, text in request.query_params.items() if name not in _PLACES]

    def link(**place: int | str) -> str:
        return f"{base}?{urlencode([*searched, *place.items(), ('per_page', size)])}"

    here = link(page=1) if query.cursor is None else link(cursor=query.cursor)
    following = None if reached is None else link(cursor=reached)
    return Listing(
        [show(row) for row in rows],
        reached,
        Links(link(page=1), following or here, None, following),
        PageMeta(
            current_page=begun.pages + 1,
            from_=begun.entries + 1 if rows else None,
            last_page=begun.pages + 1 + (reached is not None),
            path=base,
            per_page=size,
            to=seen if rows else None,
            total=seen + (reached is not None),
        ),
    )


_PLACES = frozenset({"cursor", "limit", "page", "per_page"})


async def _numbered(request: ApiRequest, query: ListQuery, walk: Walk[R, P], show: Callable[[R], T]) -> Listing[T]:
    page, size = query.page or 1, query.per_page or query.limit
    start, total, position = (page - 1) * size, 0, None
    shown: list[T] = []
    # Counted and let go: 5,000 entries of 64 KiB each would be 300 MB.
    while chunk := await walk.fetch(position, LIMIT_MAX):
        shown += [show(row) for row in chunk[max(0, start - total) : max(0, start + size - total)]]
        total, position = total + len(chunk), walk.position(chunk[-1])
        if total > NUMBERED_MAX:
            raise Invalid.field(
                "/page", "too-long", f"This list has more than {NUMBERED_MAX} entries. Read it with `cursor` instead."
            )
    last = max(1, -(-total // size))
    base = f"{request.base_url_text}{request.scope['path']}"
    here = [f"{base}?page={number}&per_page={size}" for number in (1, last, page - 1, page + 1)]
    return Listing(
        shown,
        None,
        Links(here[0], here[1], here[2] if 1 < page <= last else None, here[3] if page < last else None),
        PageMeta(
            current_page=page,
            from_=start + 1 if shown else None,
            last_page=last,
            path=base,
            per_page=size,
            to=start + len(shown) if shown else None,
            total=total,
        ),
    )


class Cursors:
    """Makes and reads cursors: a position in one list, signed, so that only what we gave out comes back."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"cursor", "sha256")

    def sealed(self, of: str, position: Any) -> str:
        """The cursor behind `position` in the list named `of`."""
        body = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._tag(of, body) + body).rstrip(b"=").decode("ascii")

    def opened(self, of: str, cursor: str, kind: type[T]) -> T:
        """The position. Raises Invalid for a text that is no cursor of this list."""
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
            if hmac.compare_digest(tag, self._tag(of, body)):
                return msgspec.json.decode(body, type=kind)
        except (binascii.Error, UnicodeEncodeError, msgspec.DecodeError):
            pass
        raise Invalid.field(
            "/cursor", "unknown-cursor", "This cursor was not given out for this list. Leave it out to start again."
        )

    def _tag(self, of: str, body: bytes) -> bytes:
        return hmac.digest(self._key, of.encode() + b"\0" + body, "sha256")[:_TAG_BYTES]
