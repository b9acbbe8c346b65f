"""A small OpenID Connect provider on loopback, as strict as real ones: codes are good once, PKCE and secrets are checked."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "stentor", "between us"


class Provider:
    """Knows one person, whose claims tests change; `tamper` is laid over the claims of the next token."""

    def __init__(self) -> None:
        self.url = ""
        self.person: dict[str, Any] = {
            "sub": "ann-1",
            "email": "ann@example.org",
            "email_verified": True,
            "name": "Ann",
        }
        self.tamper: dict[str, Any] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})
        self.signs_with = self.key
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, address: str) -> dict[str, str]:
        """What the browser brings back from the address that it was led to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    def change_keys(self) -> None:
        """Signs with another key from now on, and no longer offers the old one."""
        self.key = self.signs_with = RSAKey.generate_key(2048, {"kid": "2", "use": "sig"})

    async def _configuration(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self._codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
            or (form["client_id"], form["client_secret"]) != (CLIENT_ID, CLIENT_SECRET)
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        told = {**claims, **self.person, **self.tamper}
        self.tamper = {}
        header = {"alg": "RS256", "kid": self.signs_with.kid}
        return web.json_response({"id_token": jwt.encode(header, told, self.signs_with), "token_type": "Bearer"})

    @classmethod
    @asynccontextmanager
    async def served(cls) -> AsyncIterator["Provider"]:
        """The provider at a free port of this machine."""
        provider = cls()
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", provider._configuration)
        app.router.add_get("/keys", provider._keys)
        app.router.add_post("/token", provider._token)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield provider
        finally:
            await runner.cleanup()
