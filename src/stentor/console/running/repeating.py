"""Who started an execution, and the call that starts the same again."""

import re
import shlex
from typing import Any

import msgspec

from stentor.accounts.model import Brand
from stentor.accounts.service import AccountService
from stentor.campaigns.model import PublishedContent
from stentor.executions.audiences import OfRest, OfSegment, OfStep, OfTag, meant_by
from stentor.executions.model import Execution

_KEY = re.compile(r"key (\d{1,18})\Z")


class Trigger(msgspec.Struct, frozen=True):
    """Who started it: `words`, and the name of the key where it was one that is still there."""

    words: str
    key_name: str = ""


async def trigger_of(accounts: AccountService, brand: Brand, execution: Execution) -> Trigger:
    """Who started the execution, with the name of their key."""
    said = _KEY.search(execution.triggered_by)
    if said is None:
        return Trigger(execution.triggered_by)
    number = int(said[1])
    keys = await accounts.keys_of_organisation(brand.organisation_id, "all", after=number - 1, limit=1)
    name = keys[0].name if keys and keys[0].number == number else ""
    return Trigger(execution.triggered_by, name)


def curl_of(execution: Execution, content: PublishedContent, brand: Brand, url: str) -> str:
    """The call that starts the same again, its key left to the shell; empty where no single call does.

    A step and the rest of an experiment follow from their run, and who was named in a call stands in no execution.
    """
    base = f"{url}/v1/groups/{brand.id}"
    meant = meant_by(execution.audience)
    if execution.recipients or isinstance(meant, OfRest | OfStep) or content.is_test_send:
        return ""
    if execution.generator_id:
        body: dict[str, Any] = {"topic_key": execution.topic_key, "context": execution.context}
        return _curl(f"{base}/event-generators/{execution.generator_id}/run", body)
    if execution.campaign_id is None:
        return ""
    body = {"context": execution.context} if execution.context else {}
    match meant:
        case OfTag(tag_id):
            body["tag_id"] = str(tag_id)
        case OfSegment(segment_id):
            body["segment_id"] = str(segment_id)
        case _:
            return ""
    if execution.spread_s:
        body["spread_s"] = execution.spread_s
    if execution.per_hour is not None:
        body["per_hour"] = execution.per_hour
    return _curl(f"{base}/campaigns/{execution.campaign_id}/run", body)


def _curl(url: str, body: dict[str, Any]) -> str:
    said = msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    lines = (
        f"curl -X POST {shlex.quote(url)}",
        '-H "Authorization: Bearer $STENTOR_KEY"',
        '-H "Content-Type: application/json"',
        f"-d {shlex.quote(said)}",
    )
    return " \\\n  ".join(lines)
