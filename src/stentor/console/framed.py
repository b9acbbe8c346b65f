"""Messages in frames: other people's HTML, shown without leave to do anything."""

from litestar import Response

# It runs no script, belongs to no origin, sends no form, loads nothing from outside unless asked to (that would tell its sender
# that somebody looks), and nobody else may frame it.
_POLICY = (
    "sandbox; default-src 'none'; img-src {images}; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_NO_HTML = "<!doctype html><title>No HTML</title><p>This message has no HTML part."


def framed(html: str | None, *, with_remote: bool = False) -> Response[str]:
    """The HTML under a policy of its own, or a page that says that there is none. `with_remote`: pictures from outside are loaded."""
    policy = _POLICY.format(images="data: https: http:" if with_remote else "data:")
    return Response(
        _NO_HTML if html is None else html, media_type="text/html", headers={"Content-Security-Policy": policy}
    )
