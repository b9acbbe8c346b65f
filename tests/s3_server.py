"""An S3 server on loopback, as far as Stentor needs one: it keeps objects in memory and checks each request's signature (SigV4)."""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

KEY = "AKIATEST"
SECRET = "a secret of nobody"
REGION = "eu-test-1"
BUCKET = "lists"


class S3Server:
    """What it keeps, what it was asked, and what it is told to do wrong."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refused: set[str] = set()
        """Methods that are answered 403."""
        self.asked: list[tuple[str, str]] = []
        self.fails = 0
        """So many requests more are answered 503."""
        self.cut = False
        """Whether ranges come a byte short."""
        self.url = ""
        self._uploads: dict[str, dict[int, bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What its clients are told."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        body = await request.read()
        self.asked.append((request.method, request.path))
        if self.fails:
            self.fails -= 1
            return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
        if request.method in self.refused or not _is_signed(request, body):
            return _error(403, "SignatureDoesNotMatch")
        name = unquote(request.path).removeprefix(f"/{BUCKET}").lstrip("/")
        upload = request.query.get("uploadId")
        if request.method == "POST":
            return self._posted(request, name, upload, body)
        if request.method == "PUT":
            if upload is None:
                self.objects[name] = body
            else:
                self._uploads[upload][int(request.query["partNumber"])] = body
            return web.Response(headers={"ETag": _etag(body)})
        if request.method == "DELETE":
            self._uploads.pop(upload or "", None)
            self.objects.pop(name, None)
            return web.Response(status=204)
        return (
            self._listed(request.query.get("prefix", "")) if "list-type" in request.query else self._read(request, name)
        )

    def _posted(self, request: web.Request, name: str, upload: str | None, body: bytes) -> web.Response:
        if "delete" in request.query:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for key in keys:
                self.objects.pop(key, None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return _xml(f"<DeleteResult>{deleted}</DeleteResult>")
        if upload is None:
            begun = f"upload-{len(self.asked)}"
            self._uploads[begun] = {}
            return _xml(f"<InitiateMultipartUploadResult><UploadId>{begun}</UploadId></InitiateMultipartUploadResult>")
        parts = self._uploads.pop(upload)
        self.objects[name] = b"".join(parts[number] for number in sorted(parts))
        etag = _etag(self.objects[name])
        return _xml(f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag></CompleteMultipartUploadResult>")

    def _read(self, request: web.Request, name: str) -> web.StreamResponse:
        if name not in self.objects:
            return _error(404, "NoSuchKey")
        data = self.objects[name]
        headers = {"ETag": _etag(data), "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(data))})
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=data, headers=headers)
        first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
        part = data[first : last + 1]
        if self.cut:
            part, last = part[:-1], last - 1
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return web.Response(status=206, body=part, headers=headers)

    def _listed(self, prefix: str) -> web.Response:
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>{_etag(data)}</ETag>"
            "<LastModified>2026-11-23T00:00:00.000Z</LastModified></Contents>"
            for name, data in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>")


@asynccontextmanager
async def s3_server() -> AsyncIterator[S3Server]:
    """A server with one empty bucket."""
    server = S3Server()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def _is_signed(request: web.Request, body: bytes) -> bool:
    """Whether the request is signed with our key (AWS Signature Version 4), its body included."""
    said = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(.*?)/(.*?), SignedHeaders=(.*?), Signature=(.*)",
        request.headers.get("Authorization", ""),
    )
    if said is None or said[1] != KEY:
        return False
    payload = request.headers["x-amz-content-sha256"]
    if payload not in {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()}:
        return False
    names = said[3].split(";")
    query = "&".join(
        sorted(f"{quote(name, safe='-_.~')}={quote(text, safe='-_.~')}" for name, text in request.query.items())
    )
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    canonical = "\n".join((request.method, request.raw_path.partition("?")[0], query, headers, said[3], payload))
    date, region, service, _ = said[2].split("/")
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            request.headers["x-amz-date"],
            said[2],
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{SECRET}".encode()
    for step in (date, region, service, "aws4_request", text):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    made = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    is_fresh = abs((datetime.now(UTC) - made).total_seconds()) < 900
    return region == REGION and is_fresh and hmac.compare_digest(key.hex(), said[4])


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>{text}', content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>", content_type="application/xml")
