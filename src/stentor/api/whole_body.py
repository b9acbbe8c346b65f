"""The body of a request that goes past the framework."""

from litestar.types import HTTPReceiveMessage

from stentor.api.edge import Exchange
from stentor.errors import Invalid, TooLarge


async def whole_body(exchange: Exchange, declared: bytes, *, bytes_max: int) -> bytes:
    """All of it; `declared` is what the head says of its length. Raises TooLarge, and Invalid where it breaks off."""
    event = await exchange.receive()
    body = _part(event, bytes_max)
    # A body that is as long as declared is whole; to hear that nothing follows costs as much as the body did.
    if not event.get("more_body") or declared == b"%d" % len(body):
        return body
    parts = bytearray(body)
    while event.get("more_body"):
        event = await exchange.receive()
        parts += _part(event, bytes_max - len(parts))
    return bytes(parts)


def _part(event: HTTPReceiveMessage, left: int) -> bytes:
    if event["type"] == "http.disconnect":
        raise Invalid("The body did not arrive whole. Send it again.")
    if len(event["body"]) > left:
        raise TooLarge("The body is larger than this path takes. Send less at once.")
    return event["body"]
