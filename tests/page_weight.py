"""What a page weighs when it is opened for the first time: itself and all that it loads, compressed."""

import gzip
import re

from httpx import AsyncClient, Response

_LOADED = re.compile(r'<(?:link rel="(?:stylesheet|icon)" href|script [^>]*src)="(/console/static/[^"]+)"')
_IMPORTED = re.compile(rb'^import [^;"]*"([\w-]+)"', re.MULTILINE)
_NAMED = re.compile(r'"([\w-]+)":"(/console/static/[^"]+)"')


async def page_weight(at: AsyncClient, page: Response) -> int:
    """Bytes of the page, its style sheets and its scripts with what they import, each compressed alone."""
    named = dict(_NAMED.findall(page.text))
    ahead, weighed = set(_LOADED.findall(page.text)), {page.url.path: page.content}
    while ahead:
        path = ahead.pop()
        weighed[path] = (await at.get(path)).content
        ahead |= {named[name.decode()] for name in _IMPORTED.findall(weighed[path])} - weighed.keys()
    return sum(len(gzip.compress(content)) for content in weighed.values())
