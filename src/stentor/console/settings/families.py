"""The families of calls that programs make, as a developer of one brand needs them: ids, keys without their secrets, a curl each."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from stentor.accounts.model import ApiKey, Brand, Scope
from stentor.audience.topics import TopicService
from stentor.campaigns.generators import GeneratorService
from stentor.campaigns.service import PAGE_MAX, CampaignService
from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.model import CLIENTS_MAX
from stentor.optouts.lists import ListService

_MASK = "•••"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One family. `keys`: what opens it, masked; `call`: a command that works once the mask is replaced; `why`: what it lacks."""

    title: str
    about: str
    base: str
    ids: list[tuple[str, str]]
    keys: list[tuple[str, str]]
    call: str
    why: str = ""


class Families:
    """Looks up what stands in the calls: a campaign, an event generator, a topic and a list of the brand, where it has one."""

    def __init__(
        self,
        *,
        campaigns: CampaignService,
        generators: GeneratorService,
        topics: TopicService,
        lists: ListService,
        channels: PartnerChannelService,
        clients: HubClientService,
        base_url: str,
    ) -> None:
        self._campaigns = campaigns
        self._generators = generators
        self._topics = topics
        self._lists = lists
        self._channels = channels
        self._clients = clients
        self._base_url = base_url

    async def of(self, brand: Brand, keys: Sequence[ApiKey]) -> list[Family]:
        """The families for this brand; `keys` are those that its reader may see."""
        return [
            await self._batches(brand, keys),
            await self._runs(brand, keys),
            self._preferences(brand),
            await self._optouts(brand, keys),
            await self._hub(brand),
        ]

    async def _batches(self, brand: Brand, keys: Sequence[ApiKey]) -> Family:
        campaigns = await self._campaigns.page(brand.id, limit=PAGE_MAX)
        batch = next((one for one in campaigns if one.kind == "batch" and one.publication_id is not None), None)
        base = f"{self._base_url}/v1/groups/{brand.id}"
        body: dict[str, Any] = {
            "profiles": [
                {"external_id": "crm-77", "person": {"first_name": "Aino", "email_address": "aino@example.org"}}
            ]
        }
        if batch is not None:
            body["schedule"] = {"start_at": "2030-01-31 09:30:00", "campaign": {"uuid": str(batch.id)}}
        return Family(
            title="Groups and batches",
            about="Everything that this brand has, under its group id; people and the campaign for them in one call.",
            base=base,
            ids=[("Group id", str(brand.id)), *([("Campaign", str(batch.id))] if batch else [])],
            keys=_bearers(keys, "write"),
            call=_curl(f"{base}/batches", {"Authorization": f"Bearer {_bearer(keys, 'write')}"}, body),
            why="" if batch else "No campaign for batches is published, so this call makes profiles alone.",
        )

    async def _runs(self, brand: Brand, keys: Sequence[ApiKey]) -> Family:
        generators = await self._generators.page(brand.id)
        published = next((one for one in generators if one.publication_id is not None), None)
        topics = await self._topics.page(brand.id, limit=1)
        base = f"{self._base_url}/smart-campaigns/v1"
        generator, topic = published.id if published else "EVENT_GENERATOR_ID", topics[0].key if topics else "TOPIC_KEY"
        missing = [
            what
            for what, is_there in (("event generator is published", published), ("topic is made", topics))
            if not is_there
        ]
        return Family(
            title="Campaigns that events run",
            about="A call to an event generator runs its campaign for the subscribers of a topic.",
            base=base,
            ids=[("x-brand-key", brand.brand_key), ("Event generator", generator), ("Topic", topic)],
            keys=_api_keys(keys, "run"),
            call=_curl(
                f"{base}/event-generators/{generator}/run",
                {"x-api-key": _api_key(keys, "run"), "x-brand-key": brand.brand_key},
                {"topic_key": topic, "context": {}},
            ),
            why=f"No {' and no '.join(missing)} yet." if missing else "",
        )

    def _preferences(self, brand: Brand) -> Family:
        base = f"{self._base_url}/api/v1/preferences"
        headers = {"X-Tenant-Id": str(brand.organisation_number)}
        return Family(
            title="Preference Centre",
            about="What one person chose, read and changed by a preference page of your own. These paths carry no key.",
            base=base,
            ids=[("X-Tenant-Id", str(brand.organisation_number)), ("brandGroupId", str(brand.id))],
            keys=[],
            call=_curl(f"{base}?customerId=crm-77&brandGroupId={brand.id}", headers),
            why=""
            if brand.settings.preferences_enabled
            else "These paths are not answered: switch them on under Limits.",
        )

    async def _optouts(self, brand: Brand, keys: Sequence[ApiKey]) -> Family:
        lists = await self._lists.page(brand.id)
        built_in = next((one.code for one in lists if one.built_in), "")
        headers = {"Authorization": f"Bearer {_bearer(keys, 'write')}"}
        return Family(
            title="Opt-out lists",
            about="One address onto a list, one looked up, files in and out.",
            base=self._base_url,
            ids=[(one.name, one.code) for one in lists if one.holds_entries],
            keys=_bearers(keys, "write"),
            call=_curl(
                f"{self._base_url}/client-optout/collect",
                headers,
                {"optoutListId": built_in, "email": "aino@example.org"},
            ),
        )

    async def _hub(self, brand: Brand) -> Family:
        channels = await self._channels.page(brand.id, limit=1)
        clients = [one for one in await self._clients.page(brand.id, limit=CLIENTS_MAX) if one.revoked_at is None]
        number = channels[0].number if channels else "CHANNEL_ID"
        return Family(
            title="Channel integration",
            about="Outside services that execute channels: each calls with a hub client's key, or logs in with its name and password.",
            base=f"{self._base_url}/current",
            ids=[(one.name, str(one.number)) for one in await self._channels.page(brand.id)],
            keys=[(one.name, f"{one.username} {_MASK}") for one in clients],
            call=_curl(
                f"{self._base_url}/current/integrations/GetChannelTemplates?ChannelID={number}", {"X-API-KEY": _MASK}
            ),
            why="" if channels and clients else "It takes a partner channel and a hub client; Partners has both.",
        )


def _bearers(keys: Sequence[ApiKey], scope: Scope) -> list[tuple[str, str]]:
    return [(key.name, f"{key.number}|{key.hint}{_MASK}") for key in keys if _may(key, scope)]


def _api_keys(keys: Sequence[ApiKey], scope: Scope) -> list[tuple[str, str]]:
    return [(key.name, f"{key.hint}{_MASK}") for key in keys if _may(key, scope)]


def _bearer(keys: Sequence[ApiKey], scope: Scope) -> str:
    return next((shown for _, shown in _bearers(keys, scope)), f"TOKEN{_MASK}")


def _api_key(keys: Sequence[ApiKey], scope: Scope) -> str:
    return next((shown for _, shown in _api_keys(keys, scope)), f"API_KEY{_MASK}")


def _may(key: ApiKey, scope: Scope) -> bool:
    return scope in key.scopes or "admin" in key.scopes


def _curl(url: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> str:
    lines = [f"curl {_quoted(url)}", *(f"  -H {_quoted(f'{name}: {value}')}" for name, value in headers.items())]
    if body is not None:
        lines += ["  -H 'Content-Type: application/json'", f"  -d {_quoted(json.dumps(body, ensure_ascii=False))}"]
    return " \\\n".join(lines)


def _quoted(text: str) -> str:
    """As one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
