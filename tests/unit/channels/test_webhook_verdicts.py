"""What a receiver's answers mean."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, Outcome, Rejected
from stentor.channels.webhook.verdicts import ANSWER_CHARS_MAX, RETRY_AFTER_S_MAX, Reply, judge, judge_batch

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def judged(status: int, **more: Any) -> Outcome:
    return judge(Reply(status, **more), NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
def test_2xx_is_a_yes(status: int):
    assert judged(status) == Accepted()


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 409, 410, 413, 415, 422, 451])
def test_other_4xx_are_a_final_no_in_the_receivers_words(status: int):
    assert judged(status, body=b"no\n thanks") == Rejected(f"{status} no thanks")


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 599])
def test_a_moments_trouble_is_tried_again(status: int):
    assert judged(status, reason="Oh") == Deferred(f"{status} Oh")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304, 401, 407])
def test_what_is_the_same_for_everybody_waits_until_somebody_changes_a_setting(status: int):
    assert judged(status, reason="Oh") == Deferred(f"{status} Oh", sender_wide=True)


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("", None),
        ("7", 7.0),
        ("0", 0.0),
        ("86400", RETRY_AFTER_S_MAX),
        ("99999999999999", None),
        ("Sun, 22 Nov 2026 09:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 09:01:00", 60.0),
        ("Sun, 22 Nov 2020 09:01:00 GMT", 0.0),
        ("Sun, 22 Nov 2099 09:01:00 GMT", RETRY_AFTER_S_MAX),
        ("-1", None),
        ("1e3", None),
        ("soon", None),
        ("\u0663", None),
        ("Sun, 99 Nov 2026 99:01:00 GMT", None),
    ],
)
def test_retry_after_is_heeded_in_both_of_its_forms_up_to_an_hour(text: str, after_s: float | None):
    assert judged(429, retry_after=text) == Deferred("429", retry_after_s=after_s, sender_wide=True)
    assert judged(500, retry_after=text) == Deferred("500", retry_after_s=after_s)
    assert judged(503, retry_after=text) == Deferred("503", retry_after_s=after_s, sender_wide=after_s is not None)


def test_the_receivers_words_are_one_short_printable_line():
    outcome = judged(400, body=b"\x00\xff\xfe<html>\r\n" + b"x" * 10_000_000)

    assert isinstance(outcome, Rejected)
    assert outcome.answer.startswith("400 \N{REPLACEMENT CHARACTER}")
    assert outcome.answer.isprintable()
    assert len(outcome.answer) == ANSWER_CHARS_MAX


def test_all_of_a_batch_share_the_answer():
    assert judge_batch(Reply(204), ["a", "b"], NOW) == [Accepted()] * 2
    assert judge_batch(Reply(500), ["a", "b"], NOW) == [Deferred("500")] * 2
    assert judge_batch(Reply(200, body=b'{"results": [{"id": "a", "status": 400}]}'), ["a"], NOW) == [Accepted()]


def test_207_tells_them_apart_and_who_is_not_named_was_taken():
    results = [
        {"id": "b", "status": 422, "error": "no such\nplace"},
        {"id": "c", "status": 503, "retry_after_s": 1e9},
        {"id": "d", "status": 200},
        {"id": "e", "status": 429},
        {"id": "f", "status": 401},
        {"id": "nobody's", "status": 400},
    ]
    reply = Reply(207, body=json.dumps({"results": results, "more": 1}).encode())

    assert judge_batch(reply, ["a", "b", "c", "d", "e", "f"], NOW) == [
        Accepted(),
        Rejected("422 no such place"),
        Deferred("503", retry_after_s=RETRY_AFTER_S_MAX),
        Accepted(),
        Deferred("429"),
        Rejected("401"),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(207),
        Reply(207, body=b"<html>"),
        Reply(207, body=b"\xff\xfe"),
        Reply(207, body=b"[" * 60_000),
        Reply(207, body=b'{"results": [{"id": "a"}]}'),
        Reply(207, body=b'{"results": [{"id": "a", "status": 99}]}'),
        Reply(207, body=b'{"results": [{"id": "a", "status": 200, "retry_after_s": -1}]}'),
        Reply(207, body=b'{"results": []}', is_whole=False),
    ],
)
def test_a_207_that_cannot_be_read_leaves_all_in_doubt(reply: Reply):
    outcomes = judge_batch(reply, ["a", "b"], NOW)

    assert [type(outcome) for outcome in outcomes] == [InDoubt] * 2
