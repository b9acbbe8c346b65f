import asyncio

import pytest

from stentor.accounts.acting import ENGINE, Actor, act_as, acting, as_actor

pytestmark = pytest.mark.anyio

ANNA = Actor("user", "0198", "anna@example.org", "192.0.2.7")


def test_the_engine_acts_where_nobody_was_named_and_again_afterwards() -> None:
    before = acting()
    with as_actor(ANNA):
        inside = acting()

    assert (before, inside, acting()) == (ENGINE, ANNA, ENGINE)


async def test_who_acts_in_one_request_acts_in_the_tasks_it_starts_and_in_no_other_request() -> None:
    async def request() -> tuple[Actor, Actor]:
        act_as(ANNA)
        return acting(), await asyncio.create_task(later())

    async def later() -> Actor:
        return acting()

    assert await asyncio.create_task(request()) == (ANNA, ANNA)
    assert acting() == ENGINE
