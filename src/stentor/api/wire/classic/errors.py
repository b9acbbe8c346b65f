"""Errors as clients of this family read them: a few statuses, and text that some of them compare letter by letter."""

import msgspec
from litestar import Response

from stentor.api.problems import Failure
from stentor.api.request import ApiRequest
from stentor.errors import Forbidden

EXPIRED = "Authorization-Token Expired"
UNAUTHORIZED = "Unauthorized"
NOT_FOUND = "Not Found"
NOT_ALLOWED = "Method Not Allowed"
TOO_MANY = msgspec.json.encode(
    {
        "status": 429,
        "error": "Too Many Requests",
        "message": "You have exceeded the rate limit for this API group. Please retry later.",
    }
)

_KEPT_HEADERS = ("Retry-After", "Allow")


class TokenExpired(Forbidden):
    """A token that is good no more, or never was: a client that reads it logs in again."""

    def __init__(self) -> None:
        super().__init__(EXPIRED)


def envelope(_: ApiRequest, failure: Failure) -> Response[bytes]:
    """An error in the words of this family, by one of the statuses that its clients know."""
    match failure.status:
        case 401:
            status, text = 401, UNAUTHORIZED
        case 403:
            status, text = 403, failure.detail
        case 404:
            status, text = 404, NOT_FOUND
        case 405:
            status, text = 405, NOT_ALLOWED
        case 429:
            return _answer(429, TOO_MANY, "application/json", failure)
        case refused if refused < 500:
            status, text = 400, failure.detail
        case _:
            status, text = 500, failure.detail
    return _answer(status, text.encode(), "text/plain", failure)


def _answer(status: int, body: bytes, media: str, failure: Failure) -> Response[bytes]:
    said = {name.lower(): value for name, value in failure.headers.items()}
    headers = {name: said[name.lower()] for name in _KEPT_HEADERS if name.lower() in said}
    return Response(body, status_code=status, media_type=media, headers=headers)
