"""Rendering the fixture mail, one person after another, in one process: to the bytes that go out."""

import resource
import time

from stentor.cli.bench.fixtures import CONTEXT, fields_of, mail
from stentor.cli.bench.result import Measure, megabytes, per_s
from stentor.clock import Clock
from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.messages import compile_message
from stentor.render.publishing import final_parts

PEOPLE = 200_000
_DIFFERENT = 1_000
_SEND_ID = "a" * 60
_UNSUBSCRIBE_URL = "https://news.example.com/u/" + "b" * 70


def measure(people: int) -> dict[str, Measure]:
    """Messages per second of one core; compiling and binding, once per execution, is outside."""
    parts = final_parts(ChannelKind.EMAIL, mail())
    bound = compile_message(ChannelKind.EMAIL, parts, {}).bind(
        context=CONTEXT,
        brand={"name": "Bench Rovers", "postal_address": "1 Stadium Road, Harbour City"},
        sender=MailSender("news@rovers.example", "Bench Rovers"),
    )
    crowd = [fields_of(number) for number in range(min(people, _DIFFERENT))]
    at = Clock().now()
    started_s = time.perf_counter()
    for number in range(people):
        customer = crowd[number % len(crowd)]
        message = bound.render(
            customer, send_id=_SEND_ID, address=customer["email"], unsubscribe_url=_UNSUBSCRIBE_URL, at=at
        )
        message.wire()
    return {"render_per_s": per_s(people / (time.perf_counter() - started_s)), "peak_rss_mb": megabytes(_peak_mb())}


def _peak_mb() -> float:
    # Linux tells it in kibibytes.
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)
