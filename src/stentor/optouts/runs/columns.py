"""The columns of a segment: entries of a list as they were learned, in Parquet with zstd, in that order.

`address` is in its normal form, lower case, a phone number as digits, a domain as `@example.com`; NULL in a list that keeps
hashes only, and once the person was erased. `hash` is the whole hash where `address` is NULL, else NULL. `generation` is that
of the list when the entry came; a removal of the same or a later generation takes it out.
"""

SEGMENT_COLUMNS = {
    "address": "VARCHAR",
    "hash": "BLOB",
    "collected": "BOOLEAN",
    "at": "TIMESTAMP",  # UTC
    "campaign": "VARCHAR",
    "affiliate": "VARCHAR",
    "sub_affiliate": "VARCHAR",
    "ip": "VARCHAR",
    "generation": "BIGINT",
}
