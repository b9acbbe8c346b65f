"""What workers keep of executions: as much as fits, however much their calls said."""

import pytest

from stentor.campaigns.sources import PublicationSource
from stentor.db.pool import Database
from stentor.executions.facts import FACTS_CHARS_MAX, FactsSource
from stentor.triggers.context import CONTEXT_BYTES_MAX
from stentor.triggers.model import Accepted
from trigger_world import call_of, make_brand, make_generator, outcomes_of, taking_calls

pytestmark = pytest.mark.anyio

LARGE = {"match_id": "m-1", "more": "x" * (CONTEXT_BYTES_MAX - 100)}


async def test_facts_of_executions_that_say_much_are_kept_as_long_as_there_is_room(db: Database):
    brand = await make_brand(db)
    await make_generator(db, brand, "kick-off")
    calls = FACTS_CHARS_MAX // CONTEXT_BYTES_MAX + 20
    async with taking_calls(db) as triggers:
        outcomes = await outcomes_of(triggers, [call_of(brand, context=LARGE) for _ in range(calls)])
    executions = [outcome.execution_id for outcome in outcomes if isinstance(outcome, Accepted)]
    source = FactsSource(PublicationSource(db))

    async with db.read() as conn:
        found = await source.load(conn, brand.id, executions)

    assert len(executions) == calls
    assert {one.execution_id for one in found.values()} == set(executions)
    assert sum(len(str(facts.context)) for facts, _ in source._kept._values.values()) <= FACTS_CHARS_MAX
