"""The connection that features are handed: psycopg's, with the clock's shift and the key of fingerprints on it."""

from datetime import timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads

# Attributes are read for every message: 1.6 µs less for each than with the standard library. Ours are the only JSON columns
# in the process, so the setting is the driver's and not a connection's.
set_json_loads(msgspec.json.decode)
set_json_dumps(msgspec.json.encode)


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A psycopg connection with what its database was opened with.

    `shift` is how far "now" is shifted: zero, except under the test and demo roles. Under `fingerprint_key` secrets are told
    apart where they are not shown.
    """

    shift: timedelta = timedelta()
    fingerprint_key: bytes = b""
