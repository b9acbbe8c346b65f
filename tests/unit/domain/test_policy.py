from collections.abc import Iterator

import msgspec
import pytest

from stentor.domain.policy import BrandPolicy, CampaignPolicy, policy_violations, seconds_of


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("90s", 90),
        ("30m", 1_800),
        ("24h", 86_400),
        ("7d", 604_800),
        ("0h", None),
        ("7", None),
        ("1w", None),
        ("1.5h", None),
        (" 1h", None),
        ("-1h", None),
        ("1h\n", None),
        ("", None),
        ("٣d", None),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(duration: str, seconds: int | None):
    assert seconds_of(duration) == seconds


def test_a_policy_comes_back_as_it_was_written():
    text = b'{"caps":[{"at_most":3,"per":"7d","channels":["sms"]}],"deadline":"2h","holdout":0.05,"tags":["promo"]}'

    policy = msgspec.json.decode(text, type=CampaignPolicy)

    assert msgspec.json.encode(policy) == text
    assert (policy.caps[0].per_s, policy.deadline_s) == (604_800, 7_200)
    assert list(policy_violations(policy, "/policy")) == []


def test_what_a_policy_cannot_mean_is_named_with_what_to_do():
    cap = {"at_most": 1, "per": "1w", "channels": ["sms", "fax"]}
    policy = msgspec.convert({"caps": [cap, {"at_most": 1, "per": "32d"}], "deadline": "soon"}, CampaignPolicy)

    violations = list(policy_violations(policy, "/policy"))

    assert [(violation.pointer, violation.code) for violation in violations] == [
        ("/policy/caps/0/per", "invalid-duration"),
        ("/policy/caps/0/channels/1", "unknown-channel"),
        ("/policy/caps/1/per", "too-long"),
        ("/policy/deadline", "invalid-duration"),
    ]
    assert all("send" in violation.message or "choose" in violation.message for violation in violations)


def _malformed() -> Iterator[tuple[type[BrandPolicy | CampaignPolicy], object]]:
    for at_most in (0, 1_001, "3", None):
        yield BrandPolicy, {"caps": [{"at_most": at_most, "per": "1h"}]}
    yield BrandPolicy, {"caps": [{"at_most": 1}]}
    yield BrandPolicy, {"caps": [{"at_most": 1, "per": "1h"}] * 21}
    yield BrandPolicy, {"caps": [{"at_most": 1, "per": "1h", "topics": ["news"]}]}
    yield BrandPolicy, {"holdout": 0.1}
    yield CampaignPolicy, {"holdout": 1.0}
    yield CampaignPolicy, {"holdout": -0.1}
    yield CampaignPolicy, {"caps": [{"at_most": 1, "per": "1h", "campaigns": ["x"]}]}
    yield CampaignPolicy, {"cap": 1}


@pytest.mark.parametrize(("kind", "given"), list(_malformed()))
def test_what_is_malformed_is_refused(kind: type[BrandPolicy | CampaignPolicy], given: object):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, kind)
