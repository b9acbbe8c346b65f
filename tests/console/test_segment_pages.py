"""Segments are made, changed and counted in the console, and are the same things as those of the API."""

import re
from uuid import uuid4

import msgspec
import pytest
from httpx import Response

from console_world import OWN, ConsoleWorld, fields_in, press
from stentor.accounts.audit_model import Narrowed
from stentor.audience.model import CustomerPatch, TopicDraft
from stentor.audience.segments import expressions as ex
from stentor.domain.vocabulary import ALL_CHANNELS_MASK

pytestmark = pytest.mark.anyio

HOSTILE = '<script>alert(1)</script> "q" & שלום ' + "x" * 150
GOLD = ex.Attribute(name="tier", test=ex.Is(value="gold"))


async def with_people(console: ConsoleWorld) -> None:
    for number in range(5):
        patch = CustomerPatch(
            external_id=f"{HOSTILE} {number}",
            email=f"fan{number}@example.org",
            attributes={"tier": "gold" if number < 3 else "silver"},
        )
        await console.services.customers.upsert(console.brand.id, patch)


def said(page: Response) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


async def test_a_segment_is_put_together_without_script_counted_and_saved(console: ConsoleWorld):
    await with_people(console)
    at = await console.enters("marketer")
    new = await at.get(f"{console.root}/segments/new")

    chosen = await press(at, new, "draw", {"name": "Gold", "r-0-kind": "attribute"})
    typed = {"r-0-name": "tier", "r-0-op": "is", "r-0-value": "gold"}
    grouped = await press(at, chosen, "group r", typed)
    removed = await press(at, grouped, "remove r-1")
    counted = await press(at, removed, "count")
    saved = await press(at, counted, "save")

    assert 'id="r-0-name"' not in new.text
    assert 'id="r-1-kind"' in grouped.text
    assert fields_in(removed)["r-0-value"] == "gold"
    assert "3 people" in said(counted)
    assert "Email 3" in said(counted)
    assert saved.status_code == 303
    (segment,) = await console.services.segments.page(console.brand.id)
    assert saved.headers["location"] == f"{console.root}/segments/{segment.id}?saved=yes"
    assert (segment.name, segment.expression) == ("Gold", ex.AllOf(conditions=(GOLD,)))
    people = await at.get(f"{console.root}/segments/{segment.id}/people")
    assert "fan0@example.org" in people.text
    assert "fan4@example.org" not in people.text
    assert "<script>alert" not in people.text
    entries = await console.services.audit.page(console.brand.id, Narrowed())
    (made,) = [entry for entry in entries if entry.action == "segment.created"]
    assert (made.actor_kind, made.actor_label) == ("user", f"marketer.{console.brand.id.hex[-6:]}@example.org")


async def test_a_segment_of_the_api_is_changed_in_the_console_and_is_otherwise_what_it_was(console: ConsoleWorld):
    services, brand = console.services, console.brand.id
    topic = await services.topics.create(brand, TopicDraft(key="reds", name=HOSTILE, channels=ALL_CHANNELS_MASK))
    tag = await services.tags.create(brand, HOSTILE)
    campaign = uuid4()
    expression = ex.AnyOf(
        conditions=(
            GOLD,
            ex.Subscribed(topic_id=topic.id, channel="email"),
            ex.NoneOf(conditions=(ex.Tagged(tag_id=tag.id), ex.Attribute(name="a\nb", test=ex.Exists()))),
            ex.Happened(name="order", where=(ex.Property(name="total", test=ex.Between(low=1, high=2.5)),)),
            ex.Sample(share=0.125),
        )
    )
    segment = await services.segments.create(brand, HOSTILE[:200], expression)
    alone = await services.segments.create(brand, "Alone", GOLD)
    at = await console.enters("marketer")

    shown = await at.get(f"{console.root}/segments/{segment.id}")
    same = await press(at, shown, "save")
    renamed = await press(at, await at.get(f"{console.root}/segments/{alone.id}"), "save", {"name": "Still alone"})
    unknown = await press(at, shown, "save", {"r-0-kind": "tag", "r-0-tag_id": str(campaign), "r-0-has": "yes"})

    assert (same.status_code, renamed.status_code) == (303, 303)
    assert msgspec.json.encode((await services.segments.get(brand, segment.id)).expression) == msgspec.json.encode(
        expression
    )
    assert (await services.segments.get(brand, alone.id)).expression == GOLD
    assert unknown.status_code == 400
    assert re.search(r'id="r-0-tag_id"[^>]*aria-invalid="true"', unknown.text)
    assert "<script>alert" not in shown.text


WRONG: list[tuple[dict[str, str], str]] = [
    ({"name": " "}, "name"),
    ({"r-0-kind": ""}, "r-0-kind"),
    ({"r-0-name": ""}, "r-0-name"),
    ({"r-0-op": "less", "r-0-value": "ten"}, "r-0-value"),
    ({"r-0-op": "between", "r-0-low": "5", "r-0-high": "1"}, "r-0-high"),
    ({"r-0-op": "before", "r-0-value": "tomorrow"}, "r-0-value"),
    ({"r-0-op": "within_last", "r-0-days": ""}, "r-0-days"),
    ({"r-0-op": "anniversary", "r-0-time_zone": "Nowhere/Else"}, "r-0-time_zone"),
    ({"r-0-kind": "locale", "r-0-values": "de\nnot a language"}, "r-0-values"),
    ({"r-0-kind": "country", "r-0-values": "Germany"}, "r-0-values"),
    ({"r-0-kind": "sample", "r-0-share": "0"}, "r-0-share"),
    ({"r-0-kind": "sample", "r-0-share": "lots"}, "r-0-share"),
    (
        {
            "r-0-kind": "code",
            "r-0-json": r'{"type": "attribute", "name": "tier", "test": {"op": "is", "value": "\u0000"}}',
        },
        "r-0-json",
    ),
    ({"r-0-kind": "code", "r-0-json": "{"}, "r-0-json"),
    ({"r-0-kind": "code", "r-0-json": "[" * 5_000}, "r-0-json"),
    ({"r-0-kind": "event", "r-0-at_least": "3", "r-0-at_most": "1"}, "r-0-at_most"),
]


async def test_what_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(console: ConsoleWorld):
    at = await console.enters("marketer")
    start = {"name": "Named", "r-kind": "all_of", "r-0-kind": "attribute", "r-0-name": "tier", "r-0-value": "x"}
    token = fields_in(await at.get(f"{console.root}/segments/new"))["form_token"]

    for typed, wrong in WRONG:
        answer = await at.post(
            f"{console.root}/segments/new",
            data={"form_token": token, **start, **typed, "do": "save"},
            headers=OWN,
        )

        assert answer.status_code == 400
        assert re.findall(r'id="([^"]+)-error"', answer.text) == [wrong]
        assert re.search(rf'id="{wrong}"[^>]* aria-describedby="{wrong}-error[^>]*aria-invalid="true"', answer.text)
        shown = fields_in(answer)
        assert all(shown[name].strip() == text.strip() for name, text in typed.items() if name in shown)
    nul = {"form_token": token, **start, "r-0-value": "\x00"}
    answers = [await at.post(f"{console.root}/segments/{path}", data=nul, headers=OWN) for path in ("new", "count")]
    assert [(one.status_code, "NUL character" in one.text) for one in answers] == [(400, True)] * 2


async def test_the_live_count_says_how_many_or_what_is_missing_and_never_leaves_the_page(console: ConsoleWorld):
    await with_people(console)
    at = await console.enters("viewer")
    segment = await console.services.segments.create(console.brand.id, "Gold", GOLD)
    page = await at.get(f"{console.root}/segments/{segment.id}")
    fields = fields_in(page)

    live = await at.post(f"{console.root}/segments/count", data=fields, headers={**OWN, "HX-Request": "true"})
    half = await at.post(
        f"{console.root}/segments/count", data={**fields, "r-0-value": ""}, headers={**OWN, "HX-Request": "true"}
    )
    foreign = await at.post(f"{console.root}/segments/count", data=fields, headers={"HX-Request": "true"})
    over = await console.browser().get(f"{console.root}/segments/new", headers={"HX-Request": "true"})

    assert "3 people" in said(live)
    assert "<html" not in live.text
    assert "Fill in all conditions" in half.text
    # What goes wrong is shown where the page has a place for it, and what was typed stays.
    assert [(each.status_code, each.headers["HX-Retarget"]) for each in (foreign, over)] == [
        (403, "#trouble"),
        (401, "#trouble"),
    ]


async def test_a_segment_goes_when_nothing_goes_by_it_and_a_name_is_given_once(console: ConsoleWorld):
    at = await console.enters("marketer")
    segment = await console.services.segments.create(console.brand.id, "Gold", GOLD)
    new = await at.get(f"{console.root}/segments/new")
    taken = await press(at, new, "save", {"name": "Gold", "r-0-kind": "known", "r-0-field": "email"})
    page = await at.get(f"{console.root}/segments/{segment.id}")

    gone = await at.post(
        f"{console.root}/segments/{segment.id}/delete",
        data={"form_token": fields_in(page)["form_token"]},
        headers=OWN,
    )

    assert (taken.status_code, 'id="name-error"' in taken.text) == (409, True)
    assert gone.headers["location"] == f"{console.root}/segments?deleted=yes"
    assert (await at.get(f"{console.root}/segments/{segment.id}")).status_code == 404
    assert "No segment yet" in (await at.get(f"{console.root}/segments")).text
