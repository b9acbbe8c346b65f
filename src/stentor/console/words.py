"""What codes are called on pages; the codes themselves are in the API, in exports, and on hover."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "not_opted_in": "did not opt in",
    "unsubscribed": "unsubscribed",
    "suppressed": "on an opt-out list",
    "bounced_before": "their address bounced before",
    "complained": "complained before",
    "frequency_cap": "got enough for now",
    "quiet_hours_cancelled": "quiet hours outlast the deadline",
    "deadline": "the deadline had passed",
    "duplicate_recipient": "named twice",
    "duplicate_address": "somebody else with this address gets it",
    "no_address": "no address",
    "invalid_address": "an address that cannot be",
    "no_timezone": "no time zone is known",
    "holdout": "left out to compare with",
    "locale_missing": "no language is known",
    "template_error": "the template failed for them",
    "empty_content": "the message came out empty",
    "abort_by_template": "the template said to leave them out",
    "channel_disabled": "the channel is switched off",
    "sender_paused": "the sender is paused",
    "provider_rejected": "the provider refused it",
    "retries_exhausted": "tried as often as may be",
    "execution_cancelled": "cancelled before their turn",
    "brand_limit": "the brand's limit is reached",
    "other_channel": "written to on another channel",
    "revoked": "withdrew since",
    "quiet_hours": "it is their night",
    "in_doubt": "nobody knows whether it went out",
    "execution_paused": "the execution is paused",
    "on_a_break": "asked for a break",
    "not_cleared": "the service that sends it did not clear them",
}
"""Why somebody is not written to, or not yet: completes "127 people: …"."""

TONES: Mapping[str, str] = {
    "running": "go",
    "sending": "go",
    "planning": "open",
    "queued": "open",
    "scheduled": "open",
    "ended": "go",
    "finished": "go",
    "started": "go",
    "failed": "bad",
    "refused": "bad",
    "missed": "hold",
}
"""The colour of a state; what is not here is plain."""


def reason_words(code: str) -> str:
    """Why not, in words; of a reason that has none yet, its code."""
    return REASONS.get(code, code.replace("_", " "))


def tone(state: str) -> str:
    """The class that colours the pill of a state."""
    return TONES.get(state, "")


_OUTCOME_TONES: Mapping[str, str] = {"handed_over": "go", "held": "night", "failed": "bad", "unknown": "odd"}


def outcome_tone(state: str) -> str:
    """The class that colours the pill of what became of somebody; plain where that is nothing to look up for."""
    return _OUTCOME_TONES.get(state, "")
