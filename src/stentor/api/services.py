"""What the doors call: the services of the features, put together once in `stentor.wiring`."""

import msgspec

from stentor.db.pool import Database


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """One service per feature; a handler asks for it as its `services` argument."""

    database: Database
