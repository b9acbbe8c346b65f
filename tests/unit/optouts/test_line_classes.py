"""What DuckDB takes at first sight is what `read_entry` makes of it, digest and all."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stentor.domain.address import InvalidAddress
from stentor.optouts.entries import read_entry
from stentor.optouts.hashing import DIGEST_BYTES, HEX_CHARS, HashName
from stentor.optouts.loading.classes import LineClass
from stentor.optouts.loading.rows import Order, Rows
from stentor.optouts.loading.splitting import Splitter
from stentor.optouts.runs.index import Digests

_CHARACTERS = st.sampled_from("abzAZ019.-_+@ '\"%&!#\u212aéİß\u3002,xn")
LINES = st.one_of(
    st.text(_CHARACTERS, max_size=30),
    st.builds(
        "{}@{}.{}".format,
        st.text(_CHARACTERS, max_size=12),
        st.text(_CHARACTERS, max_size=12),
        st.sampled_from(["com", "Org", "c", "x1"]),
    ),
    st.from_regex(r"[a-zA-Z0-9.+-]{1,70}@([a-z0-9-]{1,30}\.){1,3}[a-z]{1,5}", fullmatch=True),
    st.from_regex(r"\+?[0-9]{5,17}", fullmatch=True),
    st.from_regex(r"[0-9a-fA-F]{31,33}", fullmatch=True),
    st.emails(),
    *(st.from_regex(rf"[0-9a-fA-F]{{{chars}}}", fullmatch=True) for chars in HEX_CHARS.values()),
)


def classified(directory: Path, lines: Sequence[str], channels: int, name: HashName) -> tuple[list[int], list[bytes]]:
    splitter = Splitter(directory, lowers=True)
    (chunk,) = [*splitter.feed("".join(f"{line}\n" for line in ["start", *lines]).encode()), *splitter.end()]
    order = Order(directory, name, channels, keeps_hashes=False, at=datetime.now(UTC), generation=1, memory_bytes=10**8)
    rows = Rows(order, chunk)
    found = rows.digests()
    rows.close()
    return found.classes.tolist()[1:], Digests(found.high[1:], found.low[1:]).as_bytes()


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@example(lines=["+ann@example.com"], channels=2)
@given(lines=st.lists(LINES, min_size=1, max_size=50), channels=st.sampled_from([2, 4, 6]))
def test_a_line_that_is_taken_at_first_sight_is_the_entry_it_would_be_at_the_second(
    tmp_path: Path, name: HashName, lines: list[str], channels: int
):
    classes, digests = classified(tmp_path, lines, channels, name)

    for line, line_class, digest in zip(lines, classes, digests, strict=True):
        entry = read_entry(line, channels, name)
        if line_class in {LineClass.ADDRESS, LineClass.HASH}:
            assert not isinstance(entry, InvalidAddress), (line, entry)
            assert (entry.digest, entry.hash is not None) == (digest, line_class == LineClass.HASH), line
            assert entry.hash is not None or entry.text == line.strip().lower()
        elif line_class == LineClass.EMPTY:
            assert not line.strip(" \t")
    assert len(digests[0]) == DIGEST_BYTES


@pytest.mark.parametrize("line", ["ann@example.com", "Ann.Lee+x@Mail.Example.co.uk", "14155550123", "ab" * 16])
def test_what_files_are_full_of_is_taken_at_first_sight(tmp_path: Path, line: str):
    classes, _ = classified(tmp_path, [line], 6, "md5")

    assert classes[0] in {LineClass.ADDRESS, LineClass.HASH}
