"""What taking and restoring ask of the database."""

from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="queries.sql", package=__package__):
    take_your_time: Statement
    export_snapshot: Statement
    secret_fingerprint: Statement
    sizes: Statement
    knows_all_erasures: Statement
    foreign_table: Statement
    adopt_history: Statement
    arrive_paused: Statement
