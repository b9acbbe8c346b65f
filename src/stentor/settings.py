"""What an operator can set: `STENTOR_…` variables, or the flags of the command line, which win. Built once, handed down."""

import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "STENTOR_"

_STORAGES = ("s3", "gs", "az")
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# What is said to tests and to proofs, and is no setting of an operator's.
_SAID_TO_OTHERS = ("STENTOR_TEST_", "STENTOR_FAILPOINTS")


class Settings(BaseSettings):
    """The settings of one process. None means "not said": the default is decided where it is known."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    database_url: str | None = None
    """A PostgreSQL of 15 or newer; without it an embedded one runs in the data directory."""

    database_direct_url: str | None = None
    """The server's own address, where `database_url` is a pooler's: backups are taken and restored past the pooler."""

    database_prepared: bool = True
    """Whether statements are prepared; turned off by itself behind a PgBouncer."""

    postgres_bin: Path | None = None
    """Where another PostgreSQL's programs are (`initdb`, `postgres`), instead of the bundled ones."""

    data: Path | None = None
    """The data directory: the embedded database, the installation's secret, and the workers' journals."""

    secret: SecretStr | None = None
    """The installation's secret, where it is not kept in the data directory: at least 32 bytes, the same everywhere."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)

    public_url: str | None = None
    """The https address that people's links lead to; without it links lead to host and port."""

    trusted_proxies: str = ""
    """Networks, comma-separated, whose X-Forwarded-For is believed."""

    allow_loopback: bool = False
    """Whether a sender to a server on this machine may be switched on without a public address: demo and tests."""

    allow_private_networks: bool = False
    """Whether webhooks may be sent to private networks, and to this machine, there without https too."""

    workers: int = Field(default=2, ge=0, le=64)
    """Worker processes of `serve`."""

    claims: int = Field(default=4, ge=1, le=64)
    """Claims of one sender's bulk lane that a worker works on at once; three more are kept for alerts and for other senders."""

    storage_url: str | None = None
    """Where the files of opt-out lists are, as `s3://bucket/path`; without it in the data directory."""

    storage_cache_bytes: int = Field(default=20 << 30, ge=0)
    """What this machine's disk keeps of them, where they are not on it."""

    min_free_bytes: int = Field(default=1 << 30, ge=0)
    """Room on the embedded database's disk below which no files are imported."""

    mail_url: SecretStr | None = None
    """The relay for letters to the installation's own users, as `smtps://mail.example.com:465`, or `smtp://…:587` for STARTTLS;
    user and password stand before the host."""

    mail_from: str | None = None
    """The address that those letters come from."""

    oidc_issuer: str | None = None
    """An OpenID Connect provider by which users may sign in, as its own documents write it; needs a client id and secret."""

    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None

    oidc_name: str = "single sign-on"
    """What the button says: sign in with …"""

    history_days: int = Field(default=400, ge=60, le=3_650)
    """How long executions, and what became of each person in them, are kept; links to unsubscribe live as long."""

    audit_days: int | None = Field(default=None, ge=30, le=36_500)
    """How long the audit log keeps its entries; without it for ever."""

    organisation_rate_per_s: int = Field(default=100, ge=0, le=1_000_000)
    """Calls per second of a key to `/v1/organisations`; 0 lifts it. What holds in a brand is a setting of the brand."""

    spool_bytes: int = Field(default=4 << 30, ge=1 << 20)
    """Room on the disk, below the data directory, for answers that partners are fetching; further ones are told to come back.

    One partner takes a quarter of it at most.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    @field_validator("data", mode="before")
    @classmethod
    def _is_a_path(cls, said: Path | str | None) -> Path | str | None:
        if said == "":
            raise ValueError("an empty path names no directory; say `.` for the one you are in, or leave it out")
        return said

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, text: str | None) -> str | None:
        # Without a scheme no link in a message would be one, and the messages would be skipped one by one.
        parts = urlsplit(text or "https://unsaid")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{text!r} is no address of a web site; write it as https://news.example.com")
        return text.rstrip("/") if text else None

    @field_validator("storage_url")
    @classmethod
    def _is_a_storage(cls, text: str | None) -> str | None:
        parts = urlsplit(text or "s3://unsaid")
        if parts.scheme not in _STORAGES or not parts.netloc or parts.query or parts.fragment or parts.password:
            raise ValueError(f"{text!r} is no storage; write it as s3://bucket/path, gs://… or az://…")
        return text.rstrip("/") if text else None

    @field_validator("mail_url")
    @classmethod
    def _is_a_relay(cls, said: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(said.get_secret_value() if said else "smtp://unsaid")
        # Without what was said: a password may be in it.
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(
                "this is no relay; write it as smtps://mail.example.com:465, user and password before the host"
            )
        return said

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, text: str | None) -> str | None:
        parts = urlsplit(text or "https://unsaid")
        is_here = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not (parts.scheme == "https" or is_here) or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{text!r} is no provider; write it as https://login.example.com")
        return text

    @model_validator(mode="after")
    def _belongs_together(self) -> "Settings":
        if (self.mail_url is None) != (self.mail_from is None):
            raise ValueError("STENTOR_MAIL_URL and STENTOR_MAIL_FROM are set together, or neither of them")
        if len({self.oidc_issuer is None, self.oidc_client_id is None, self.oidc_client_secret is None}) > 1:
            raise ValueError(
                "STENTOR_OIDC_ISSUER, STENTOR_OIDC_CLIENT_ID and STENTOR_OIDC_CLIENT_SECRET are set together"
            )
        return self

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, text: str | None) -> str | None:
        if text is not None and not _ADDRESS.fullmatch(text):
            raise ValueError(f"{text!r} is no address; write it as stentor@example.com")
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for name in filter(None, map(str.strip, text.split(","))):
            try:
                ip_network(name)
            except ValueError as error:
                raise ValueError(f"{error}; write networks as 10.0.0.0/8, with commas between them") from None
        return text


def unknown_among(variables: Iterable[str]) -> list[str]:
    """The names that look like settings of ours and are none: mistyped ones, or another version's."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    ours = {name for name in variables if name.upper().startswith(PREFIX)}
    return sorted(name for name in ours if name.upper() not in known and not name.startswith(_SAID_TO_OTHERS))
