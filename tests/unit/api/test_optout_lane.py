"""The parameters of a look-up, read as the library reads them."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.api.wire.optout_lane import PARAMETERS_MAX, parameters
from stentor.errors import Invalid


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=PARAMETERS_MAX))
def test_what_was_encoded_is_read_again(said: dict[str, str]):
    assert parameters(urlencode(said, errors="replace").encode()) == {
        name.encode(errors="replace").decode(): text.encode(errors="replace").decode() for name, text in said.items()
    }


@pytest.mark.parametrize(
    "query",
    [b"", b"&", b"a", b"a=", b"=b", b"a=b=c", b"a=1&a=2", b"a=+%2B", b"a=%", b"a=%zz", b"a=%ff", b"a=\xff", b"&&a=1&"],
)
def test_odd_queries_are_read_as_the_library_reads_them(query: bytes):
    read = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))

    assert parameters(query) == {name: text for name, text in read.items() if name}


def test_a_query_has_at_most_twenty_parameters():
    with pytest.raises(Invalid, match="20 parameters"):
        parameters(b"a=1&" * PARAMETERS_MAX)
