"""What SQL decides while planning is what Python decides elsewhere, person by person."""

import random
from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
import pytest

from stentor.campaigns.languages import variant_for
from stentor.db.pool import Database
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.executions.slicing import chunk_keys, cut_slices
from stentor.guard.holdout import holdout_threshold, is_held_out
from stentor.guard.person import person_objection
from stentor.guard.places import place_of
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

PEOPLE = 20_000
SEED = 20_261_122
LOCALES = ("pt", "pt-BR", "pt-PT", "zh-Hant-TW", "zh-Hant", "zh-CN", "zh", "en", "EN-us", "de-AT", "fi", "sr-Latn-RS")


def first_apart(cases: Iterable[Any], *answers: list[Any]) -> list[tuple[Any, ...]]:
    """Ten cases at the most that are answered differently. How two long lists differ takes pytest minutes, where CI is set."""
    apart = (each for each in zip(cases, *answers, strict=True) if each[1] != each[2])
    return list(islice(apart, 10))


class Masks(msgspec.Struct, frozen=True):
    refused_mask: int
    complained_mask: int
    bounced_mask: int
    address_mask: int
    valid_mask: int


async def test_the_person_keyed_guard_answers_the_same_in_sql_and_in_python(db: Database):
    draw = random.Random(SEED)
    people = [Masks(*(draw.getrandbits(10) & draw.getrandbits(10) for _ in range(5))) for _ in range(PEOPLE)]
    channels = [draw.choice(list(ChannelKind)) for _ in people]

    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT person_objection(r, c, b, a, v, k) FROM unnest(%s::int[], %s::int[], %s::int[], %s::int[], %s::int[],"
            " %s::int[]) WITH ORDINALITY AS p (r, c, b, a, v, k, o) ORDER BY o",
            [
                *([getattr(one, name) for one in people] for name in Masks.__struct_fields__),
                [channel.bit for channel in channels],
            ],
        )
        in_sql = [row[0] for row in await cursor.fetchall()]

    in_python = [person_objection(one, channel) for one, channel in zip(people, channels, strict=True)]
    assert first_apart(zip(people, channels, strict=True), in_sql, in_python) == []
    assert len(set(in_sql)) == 6


async def test_a_chunk_holds_exactly_the_keys_that_the_plan_puts_into_it(db: Database):
    draw = random.Random(SEED)
    for subscribers in (1, 650, 20_000, 127_450, 3_000_000):
        slices = cut_slices(subscribers, routes=1)
        assert (slices[0].part_from, slices[-1].part_to) == (0, 4095)
        piece = draw.choice(slices)
        keys = [chunk_keys(piece.part_from, piece.part_to, piece.chunks, index) for index in range(piece.chunks)]
        low, high = keys[0][0].int, keys[-1][1].int
        ids = [UUID(int=draw.randint(low, high)) for _ in range(2_000)] + [key for pair in keys for key in pair]

        async with db.read() as conn:
            cursor = await conn.execute(
                "SELECT chunk_offset(i, p, %s::smallint, %s::smallint, %s) FROM unnest(%s::uuid[], %s::smallint[])"
                " WITH ORDINALITY AS c (i, p, o) ORDER BY o",
                [piece.part_from, piece.part_to, piece.chunks, ids, [part_of(one) for one in ids]],
            )
            offsets = [row[0] for row in await cursor.fetchall()]

        assert all(keys[offset][0] <= one <= keys[offset][1] for one, offset in zip(ids, offsets, strict=True))


async def test_a_person_gets_the_same_language_from_sql_and_from_python(db: Database):
    draw = random.Random(SEED)
    cases = []
    for _ in range(300):
        languages = draw.sample(["en", "pt", "pt-BR", "zh-Hant", "zh", "de", "sr-Latn"], k=draw.randint(2, 5))
        cases.append((languages, draw.choice(LOCALES)))

    async with db.read() as conn:
        in_sql = [
            (
                await (
                    await conn.execute(
                        "SELECT variant_for(%s::text[], %s)", [[language.lower() for language in languages], locale]
                    )
                ).fetchone()
                or (None,)
            )[0]
            for languages, locale in cases
        ]

    assert in_sql == [variant_for(languages, locale) for languages, locale in cases]


async def test_a_place_is_the_same_text_in_sql_and_in_python(db: Database):
    world = await World.made(db)
    cases = [
        (time_zone, phone)
        for time_zone in (None, "Asia/Tokyo", "America/Argentina/ComodRivadavia")
        for phone in (None, "+1", "+14155550123", "+4915112345678", "not a number")
    ]
    await world.people(
        [Someone(f"p{number:02}", time_zone=zone, phone=phone) for number, (zone, phone) in enumerate(cases)]
    )

    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT p.place FROM person p JOIN customer c USING (part, customer_id) WHERE c.brand_id = %s"
            " ORDER BY c.external_id",
            [world.brand_id],
        )
        in_sql = [row[0] for row in await cursor.fetchall()]

    assert in_sql == [place_of(zone, phone) for zone, phone in cases]


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.05, 0.3, 0.999])
async def test_the_same_people_are_held_out_by_sql_and_by_python(db: Database, share: float):
    draw = random.Random(SEED)
    campaign = UUID(int=draw.getrandbits(128))
    people = [UUID(int=draw.getrandbits(128)) for _ in range(PEOPLE)]

    async with db.read() as conn:
        cursor = await conn.execute(
            "SELECT holdout_objection(%s, i, %s) FROM unnest(%s::uuid[]) WITH ORDINALITY AS p (i, o) ORDER BY o",
            [campaign, holdout_threshold(share), people],
        )
        in_sql = [row[0] for row in await cursor.fetchall()]

    in_python = [Reason.HOLDOUT if is_held_out(campaign, one, share) else Reason.NONE for one in people]
    assert first_apart(people, in_sql, in_python) == []
    # Five standard deviations of a binomial count.
    assert abs(sum(map(bool, in_sql)) - share * PEOPLE) <= 5 * (share * (1 - share) * PEOPLE) ** 0.5


def test_a_larger_holdout_leaves_out_the_same_people_and_campaigns_choose_apart():
    draw = random.Random(SEED)
    people = [UUID(int=draw.getrandbits(128)) for _ in range(PEOPLE)]

    small, large, other = [
        {one for one in people if is_held_out(UUID(int=campaign), one, share)}
        for campaign, share in ((1, 0.1), (1, 0.2), (2, 0.1))
    ]

    assert small < large
    assert len(small & other) < 0.2 * len(small)
