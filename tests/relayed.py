"""A `stentor serve` whose mail goes to a relay that can be stopped, and what the database says of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from served import Served, add_fans, command_on, make_campaign, serving
from stentor.cli.premises import temporary_directory
from stentor.db.embedded import ensure_running
from stentor.testing.smtp_local import SinkProcess

LOOPBACK = {"STENTOR_ALLOW_LOOPBACK": "1"}

WAVES_OPEN = "SELECT count(*) FROM wave WHERE settled_at IS NULL AND opened_at < now() - interval '1 s'"
HANDED_OVER = (
    "SELECT c.email FROM send s JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id"
    " WHERE s.execution_id = %s AND s.state = 2"
)


class Relayed(NamedTuple):
    """The server, where it keeps its files, and a connection to its database that outlives it."""

    served: Served
    data: Path
    conn: "psycopg.Connection[Any]"

    def first(self, query: Any, *values: object) -> Any:
        """The first column of the first row."""
        row = self.conn.execute(query, values).fetchone()
        assert row is not None
        return row[0]

    def handed_over(self, execution_id: str) -> set[str]:
        """The addresses of those who were handed over."""
        return {address for (address,) in self.conn.execute(HANDED_OVER, [execution_id])}


@contextmanager
def relayed(sink: SinkProcess, folder: Path, topic_key: str, *, people: int, pace_per_s: int) -> Iterator[Relayed]:
    """That many people of a topic, whose campaign goes to the sink by so many messages a second."""
    with ExitStack() as stack:
        data = stack.enter_context(temporary_directory())
        served = stack.enter_context(serving(data, environment=LOOPBACK))
        server = stack.enter_context(ensure_running(data))
        conn = stack.enter_context(psycopg.connect(server.dsn(), autocommit=True))
        command_on(data, "brand", "set", "My brand", "from_address=news@example.com")
        make_campaign(served, topic_key, sender_id=_add_relay(served, sink.port, pace_per_s))
        add_fans(data, folder, topic_key, people)
        yield Relayed(served, data, conn)


def _add_relay(served: Served, port: int, pace_per_s: int) -> str:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "envelope_from": "bounces@example.com"}
    relay = {"name": "Sink", "channel": "email", "kind": "smtp", "settings": settings, "pace_per_s": pace_per_s}
    return served.native("POST", "/senders", json=relay)["id"]
