"""The calls that a generator is run with, ready to be pasted: real ids, and a place where the secret key goes."""

from typing import Any
from urllib.parse import quote

import msgspec

API_KEY = "$API_KEY"
"""Stands where the secret goes, which no page shows: the shell puts in what it was told."""

_SAMPLE_TOPIC = "your-topic"


class CurlLine(msgspec.Struct, frozen=True):
    """A command to paste, and what it is for."""

    title: str
    text: str


def curl_lines(
    base_url: str, brand_key: str, generator_id: str, topic_key: str, context: dict[str, Any]
) -> list[CurlLine]:
    """What a backend sends: a try that writes to nobody, the run itself, and the question what became of it."""
    path = f"{base_url}/smart-campaigns/v1/event-generators/{quote(generator_id, safe='')}/run"
    body = {"topic_key": topic_key or _SAMPLE_TOPIC, "context": context}
    run = [*_keys(brand_key), "-H 'Content-Type: application/json'", f"--data {_quoted(_pretty(body))}"]
    status = f"{base_url}/smart-campaigns/v1/executions/$EXECUTION_ID/status"
    return [
        CurlLine(
            "Try it: who would get it, and nothing is sent", _lines(f"-X POST {_quoted(path + '?dry_run=true')}", *run)
        ),
        CurlLine("Run it", _lines(f"-X POST {_quoted(path)}", *run)),
        CurlLine("Ask what became of it", _lines(f'"{status}"', *_keys(brand_key))),
    ]


def _keys(brand_key: str) -> list[str]:
    return [f'-H "x-api-key: {API_KEY}"', f"-H 'x-brand-key: {brand_key}'"]


def _lines(*parts: str) -> str:
    return "curl -sS " + " \\\n  ".join(parts)


def _pretty(body: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def _quoted(text: str) -> str:
    """The text as one word of a POSIX shell, whatever is in it."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
