"""Setting up connectors: which hub, by which credentials, which of its channels, and where what is pulled goes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from stentor.accounts.audit import record
from stentor.channels.outbound import Outbound
from stentor.channels.secrets import SecretBox
from stentor.channels.webhook.settings import place_of, url_complaint
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.errors import Invalid, NotFound, Violation
from stentor.integrations.connector import runs, store
from stentor.integrations.connector.hub import HubRefused
from stentor.integrations.connector.model import (
    APP_CHARS_MAX,
    ATTRIBUTE_PREFIX,
    ATTRIBUTES_MAX,
    CHANNELS_MAX,
    CONNECTORS_MAX,
    FIELDS,
    NAME_CHARS_MAX,
    NUMBER_MAX,
    PUSH_DAYS_MAX,
    PUSH_EVERY_S_MAX,
    PUSH_EVERY_S_MIN,
    SECRET_CHARS_MAX,
    ChannelDraft,
    Connector,
    ConnectorChannel,
    ConnectorRun,
    Draft,
    Patch,
    RefusedRow,
)
from stentor.integrations.connector.opening import HubOpener

PAGE_MAX = 100
_ZONES = ("utc", "brand", "recipient")
_ATTRIBUTE = re.compile(r"[^\x00-\x1f\x7f;:/?&#%$+=,]{1,100}")


class ConnectorService:
    """What the doors call about connectors. Raises NotFound for one that is not this brand's."""

    def __init__(self, db: Database, box: SecretBox, outbound: Outbound, opener: HubOpener) -> None:
        self._db = db
        self._box = box
        self._outbound = outbound
        self._opener = opener

    async def create(self, brand_id: UUID, draft: Draft) -> Connector:
        """Makes a connector, which joins its hub within seconds. Its secret is sealed, and never shown.

        Raises Invalid, naming every field that breaks a rule, Conflict when the name is taken, QuotaExceeded.
        """
        draft = _checked(draft, self._outbound)
        if not draft.secret:
            raise Invalid.field("/secret", "missing", "Say the password, or the X-API-KEY, that the hub gave you.")
        connector_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "connectors", CONNECTORS_MAX, store.count)
            channels = await _channels(conn, brand_id, draft.channels)
            sealed = self._box.seal(connector_id, draft.secret)
            if not await store.insert(conn, brand_id, connector_id, draft, sealed):
                raise name_taken("connector", draft.name)
            await store.set_channels(conn, brand_id, connector_id, channels)
            made = await _found(conn, brand_id, connector_id)
            await record(conn, "connector.created", connector_id, brand_id=brand_id, after=_told(made))
        return made

    async def update(self, brand_id: UUID, connector_id: UUID, patch: Patch) -> Connector:
        """Changes the connector. Another URL, user name or secret lets the hub be told everything again.

        Raises Invalid and Conflict as `create`.
        """
        async with self._db.transaction() as conn:
            held = await store.lock(conn, brand_id, connector_id)
            if held is None:
                raise _missing()
            draft = _checked(_patched(held, patch), self._outbound)
            secret = self._box.seal(connector_id, patch.secret) if patch.secret else None
            channels = await _channels(conn, brand_id, draft.channels)
            is_on = held.enabled if patch.enabled is None else patch.enabled
            anew = secret is not None or (draft.url, draft.username) != (held.url, held.username)
            with name_free("connector", draft.name):
                await store.update(conn, brand_id, connector_id, draft, enabled=is_on, secret=secret, anew=anew)
            if is_on and not held.enabled:
                # While it was off, the hub was asked to forget it.
                await store.tell_anew(conn, brand_id, connector_id)
            await store.set_channels(conn, brand_id, connector_id, channels)
            changed = await _found(conn, brand_id, connector_id)
            told = {**_told(changed), **({"secret": "changed"} if secret else {})}
            await record(conn, "connector.updated", connector_id, brand_id=brand_id, before=_told(held), after=told)
        return changed

    async def delete(self, brand_id: UUID, connector_id: UUID) -> None:
        """Forgets the connector, and which campaigns of its hub ran. What is being sent goes on; its hub is told to forget it, too."""
        async with self._db.transaction() as conn:
            held = await store.lock(conn, brand_id, connector_id)
            if held is None:
                raise _missing()
            await store.retire(conn, brand_id, connector_id)
            await record(conn, "connector.deleted", connector_id, brand_id=brand_id, before=_told(held))

    async def get(self, brand_id: UUID, connector_id: UUID) -> Connector:
        """The connector."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, connector_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Connector]:
        """At most `limit` (and 100) connectors in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await store.page(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def runs(
        self, brand_id: UUID, connector_id: UUID, *, before: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[ConnectorRun]:
        """The hub's campaigns that ran or run here, newest first, from before the id `before`; at most 100."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, connector_id)
            return await runs.page(conn, brand_id, connector_id, before=before, limit=min(limit, PAGE_MAX))

    async def refused(
        self, brand_id: UUID, connector_id: UUID, run_id: UUID, *, after: int = -1, limit: int = PAGE_MAX
    ) -> list[RefusedRow]:
        """Rows of a run's list that no customer was made of, and why, from behind the row `after`; at most 100."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, connector_id)
            if await runs.connector_of(conn, brand_id, run_id) != connector_id:
                raise NotFound("This connector has no such run. List them with GET …/connectors/{id}/runs.")
            return await runs.refused(conn, brand_id, run_id, after=after, limit=min(limit, PAGE_MAX))

    async def check(self, brand_id: UUID, connector_id: UUID) -> str:
        """Logs in to the hub, and answers with nothing, or with what is wrong and what to do next."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, connector_id)
            sealed = await store.sealed(conn, brand_id, connector_id)
        if sealed is None:
            raise _missing()
        try:
            hub = await self._opener.open(sealed)
            async with aclosing(hub):
                await hub.log_in()
        except HubRefused as trouble:
            return str(trouble)
        return ""


async def _found(conn: Connection, brand_id: UUID, connector_id: UUID) -> Connector:
    found = await store.find(conn, brand_id, connector_id)
    if found is None:
        raise _missing()
    return found


def _missing() -> NotFound:
    return NotFound("This brand has no such connector. List them with GET …/connectors.")


def _patched(held: Connector, patch: Patch) -> Draft:
    """All of the connector as it is to be; an empty secret stands for the one it has."""
    kept = tuple(
        ChannelDraft(number=one.number, campaign_id=one.campaign_id, app_id=one.app_id, app_name=one.app_name)
        for one in held.channels
    )
    return Draft(
        name=held.name if patch.name is None else patch.name,
        url=held.url if patch.url is None else patch.url,
        secret=patch.secret or "",
        channels=kept if patch.channels is None else patch.channels,
        username=held.username if patch.username is None else patch.username,
        zone=held.zone if patch.zone is None else patch.zone,
        attributes=held.attributes if patch.attributes is None else patch.attributes,
        push_every_s=held.push_every_s if patch.push_every_s is None else patch.push_every_s,
        push_days=held.push_days if patch.push_days is None else patch.push_days,
    )


def _checked(draft: Draft, outbound: Outbound) -> Draft:
    name = checked_name(draft.name, NAME_CHARS_MAX)
    url = draft.url.strip().rstrip("/")
    broken = [*_url_violations(url, outbound), *_attribute_violations(draft.attributes)]
    if len(draft.secret) > SECRET_CHARS_MAX or len(draft.username) > NAME_CHARS_MAX:
        text = f"A user name has at most {NAME_CHARS_MAX} characters, and a secret {SECRET_CHARS_MAX}."
        broken.append(Violation("/secret", "length", text))
    if not (draft.secret.isascii() and draft.secret.isprintable()):
        broken.append(Violation("/secret", "characters", "A secret has printable ASCII characters only."))
    if draft.zone not in _ZONES:
        broken.append(Violation("/zone", "unknown", f"The zone of its times is one of {', '.join(_ZONES)}."))
    if not PUSH_EVERY_S_MIN <= draft.push_every_s <= PUSH_EVERY_S_MAX:
        broken.append(
            Violation(
                "/push_every_s",
                "range",
                f"Figures are pushed every {PUSH_EVERY_S_MIN} to {PUSH_EVERY_S_MAX:,} seconds.",
            )
        )
    if not 1 <= draft.push_days <= PUSH_DAYS_MAX:
        broken.append(Violation("/push_days", "range", f"Figures are pushed for 1 to {PUSH_DAYS_MAX} days."))
    if broken:
        raise Invalid(broken[0].message, violations=broken)
    return Draft(
        name=name,
        url=url,
        secret=draft.secret,
        channels=draft.channels,
        username=draft.username.strip(),
        zone=draft.zone,
        attributes=draft.attributes,
        push_every_s=draft.push_every_s,
        push_days=draft.push_days,
    )


def _url_violations(url: str, outbound: Outbound) -> Iterable[Violation]:
    if complaint := url_complaint(url):
        yield Violation("/url", "url", f"The hub's {complaint}")
        return
    if "?" in url or "#" in url:
        yield Violation("/url", "url", "The hub's url is what stands before /current, without a query.")
    place = place_of(url)
    if objection := outbound.early_objection(place.scheme, place.host, place.port):
        yield Violation("/url", "url", f"The hub's url cannot be used: {objection}.")


def _attribute_violations(attributes: Mapping[str, str]) -> Iterable[Violation]:
    if len(attributes) > ATTRIBUTES_MAX:
        yield Violation("/attributes", "too-many", f"A connector pulls at most {ATTRIBUTES_MAX} attributes.")
    targets = list(attributes.values())
    for name, target in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            text = (
                f"{name!r} is no attribute of a hub: those have 1 to 100 characters, and none of ; : / ? & # % $ + = ,"
            )
            yield Violation("/attributes", "name", text)
        is_ours = target in FIELDS or (
            target.startswith(ATTRIBUTE_PREFIX) and _ATTRIBUTE.fullmatch(target.removeprefix(ATTRIBUTE_PREFIX))
        )
        if not is_ours:
            text = f"{name} goes to {target!r}, which is nothing of a customer; choose from {', '.join(FIELDS)} or attributes.NAME."
            yield Violation("/attributes", "target", text)
        elif targets.count(target) > 1:
            yield Violation("/attributes", "repeated", f"Two attributes go to {target}; choose one of them.")


async def _channels(conn: Connection, brand_id: UUID, drafts: Sequence[ChannelDraft]) -> list[ConnectorChannel]:
    """The channels with what they send on here. Raises Invalid, naming each that cannot be used."""
    if not 1 <= len(drafts) <= CHANNELS_MAX:
        raise Invalid.field("/channels", "count", f"A connector has 1 to {CHANNELS_MAX} channels of its hub.")
    broken: list[Violation] = []
    found: dict[int, ConnectorChannel] = {}
    for index, draft in enumerate(drafts):
        at = f"/channels/{index}"
        if not 1 <= draft.number <= NUMBER_MAX:
            broken.append(Violation(f"{at}/number", "range", f"A ChannelID is 1 to {NUMBER_MAX}."))
        if draft.number in found:
            broken.append(
                Violation(f"{at}/number", "repeated", f"ChannelID {draft.number} is named twice; name it once.")
            )
        if max(len(draft.app_id), len(draft.app_name)) > APP_CHARS_MAX or bool(draft.app_id) != bool(draft.app_name):
            text = f"An app has an id and a name, each of at most {APP_CHARS_MAX} characters; or leave both out."
            broken.append(Violation(f"{at}/app_id", "app", text))
        campaign = await store.campaign_channels(conn, brand_id, draft.campaign_id)
        text = _campaign_complaint(campaign)
        if text or campaign is None:
            broken.append(Violation(f"{at}/campaign_id", "campaign", text))
            continue
        found[draft.number] = ConnectorChannel(
            number=draft.number,
            campaign_id=draft.campaign_id,
            channel=campaign[1][0],
            app_id=draft.app_id,
            app_name=draft.app_name,
        )
    if broken:
        raise Invalid(broken[0].message, violations=broken)
    return list(found.values())


def _campaign_complaint(campaign: tuple[str, Sequence[Any]] | None) -> str:
    if campaign is None:
        return "This brand has no such campaign. List them with GET …/campaigns."
    kind, channels = campaign
    if kind in {"api_triggered", "external"}:
        return "This campaign does not run by itself. Make one of the kind batch: its sender, consent and policy hold for what the hub sends."
    if not channels:
        return "This campaign was never published. Publish it, then name it here."
    if len(channels) > 1:
        return "This campaign sends on several channels; name one with a single channel."
    return ""


def _told(connector: Connector) -> dict[str, Any]:
    """As the audit log tells of it."""
    return {
        "name": connector.name,
        "url": connector.url,
        "username": connector.username,
        "zone": connector.zone,
        "attributes": connector.attributes,
        "push_every_s": connector.push_every_s,
        "push_days": connector.push_days,
        "enabled": connector.enabled,
        "channels": [{"number": one.number, "campaign_id": str(one.campaign_id)} for one in connector.channels],
    }
