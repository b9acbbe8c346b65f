"""Random Liquid templates, and random values for them, whose names meet often."""

from hypothesis import strategies as st

# --- values ------------------------------------------------------------------------------------------------------------

_ODD_TEXTS = [
    *(
        "",
        " ",
        "Ann",
        "O'Neil & <b>",
        "a=b",
        ".",
        "..x",
        "Ünïcödé 🎉",
        "two\nlines \n",
        "x " * 50,
        "2026-11-21T20:15:00Z",
    ),
]
_TEXTS = st.one_of(
    st.sampled_from(_ODD_TEXTS), st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), st.floats(-1e6, 1e6, allow_nan=False), _TEXTS)
_FIELDS = st.sampled_from(["a", "b", "name", "title", "plan", "size", "first"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_FIELDS, inner, max_size=4)),
    max_leaves=8,
)

objects = st.dictionaries(_FIELDS, _VALUES, max_size=6)
"""JSON objects, for a context or a person."""

# --- expressions -----------------------------------------------------------------------------------------------------------

_ROOTS = st.sampled_from(["context", "customer", "brand", "title", "plan", "x", "y", "item", "forloop", "nobody"])
_SEGMENTS = st.sampled_from(
    [".a", ".b", ".name", ".title", "[0]", "[-1]", ".size", ".first", ".last", "['a']", "[x]", ".index"]
)
_PATHS = st.builds("{}{}".format, _ROOTS, st.lists(_SEGMENTS, max_size=2).map("".join))
_LITERALS = st.sampled_from(["'a'", '"<i>"', "1", "-2.5", "true", "nil", "(1..3)", "'two words'", "0"])
_OPERANDS = st.one_of(_PATHS, _PATHS, _LITERALS)
_COMPARED = st.one_of(_OPERANDS, st.sampled_from(["empty", "blank"]))

_FILTERS = st.one_of(
    st.sampled_from(
        [
            *("abs", "capitalize", "ceil", "compact", "downcase", "escape", "escape_once", "first", "floor", "join"),
            *("last", "local", "lstrip", "minutes_until", "newline_to_br", "reverse", "round", "safe", "size", "slug"),
            *(
                "sort",
                "squish",
                "strip",
                "strip_html",
                "strip_newlines",
                "sum",
                "uniq",
                "upcase",
                "url_decode",
                "url_encode",
            ),
            *("default: 'there'", "date: '%d.%m.%Y'", "local: 'short'", "default: 1, allow_false: true"),
        ]
    ),
    st.builds(
        "{}: {}".format,
        st.sampled_from(
            [
                *("append", "at_least", "at_most", "concat", "default", "divided_by", "join", "map", "minus", "modulo"),
                *(
                    "plus",
                    "prepend",
                    "remove",
                    "round",
                    "slice",
                    "split",
                    "times",
                    "truncate",
                    "truncatewords",
                    "where",
                ),
            ]
        ),
        _OPERANDS,
    ),
    st.builds("replace: {}, {}".format, _OPERANDS, _OPERANDS),
)
_FILTERED = st.builds("{}{}".format, _OPERANDS, st.lists(_FILTERS.map(" | {}".format), max_size=3).map("".join))

_COMPARISONS = st.builds(
    "{} {} {}".format,
    _OPERANDS,
    st.sampled_from(["==", "!=", "<", ">", "<=", ">=", "contains", "<>"]),
    _COMPARED,
)
_TERMS = st.one_of(_OPERANDS, _COMPARISONS)
_CONDITIONS = st.builds(
    "{}{}".format,
    _TERMS,
    st.lists(st.builds(" {} {}".format, st.sampled_from(["and", "or"]), _TERMS), max_size=2).map("".join),
)

# --- tags ------------------------------------------------------------------------------------------------------------------

_CONTENT = st.one_of(
    st.sampled_from(["Hello ", "\n", " \n ", ".", "=", "<p>", "ü", "x" * 90, " ", "a.\n.b", "\t"]),
    st.text(st.characters(codec="utf-8", exclude_characters="{}%\r\x00"), max_size=10),
)
_DASHES = st.sampled_from(["", "", "", "-"])
_NAMES = st.sampled_from(["x", "y", "item", "title", "plan"])
_OUTPUTS = st.builds("{{{{{} {} {}}}}}".format, _DASHES, _FILTERED, _DASHES)


def _tag(inside: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    text = st.just(inside) if isinstance(inside, str) else inside
    return st.builds("{{%{} {} {}%}}".format, _DASHES, text, _DASHES)


def _row(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*pieces).map("".join)


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    condition = _tag(_CONDITIONS.map("if {}".format))
    loop = _tag(
        st.builds(
            "for {} in {}{}".format,
            _NAMES,
            _OPERANDS,
            st.sampled_from(
                ["", "", " reversed", " limit: 2", " offset: 1", " limit: 2 offset: 1 reversed", " limit: x"]
            ),
        )
    )
    interrupt = st.one_of(
        st.just(""),
        _tag("break"),
        _tag("continue"),
        _row(condition, inner, _tag("break"), _tag("endif")),
        st.just("{% if forloop.last %}{% continue %}{% endif %}"),
    )
    case = st.builds("{{% case {} %}}{{% when {}, {} %}}".format, _OPERANDS, _COMPARED, _OPERANDS)
    return st.one_of(
        _row(condition, inner, _tag("endif")),
        _row(condition, inner, _tag(_CONDITIONS.map("elsif {}".format)), inner, _tag("else"), inner, _tag("endif")),
        _row(_tag(_CONDITIONS.map("unless {}".format)), inner, _tag("else"), inner, _tag("endunless")),
        _row(loop, inner, interrupt, _CONTENT, _tag("endfor")),
        _row(loop, inner, interrupt, _CONTENT, _tag("else"), inner, _tag("endfor")),
        _row(_tag(_NAMES.map("capture {}".format)), inner, _tag("endcapture")),
        _row(case, inner, _tag("else"), inner, _tag("endcase")),
        _row(_tag("comment"), inner, _tag("endcomment")),
    )


_STATEMENTS = st.one_of(
    _tag(st.builds("assign {} = {}".format, _NAMES, _FILTERED)),
    _tag(st.builds("cycle {}, {}".format, _OPERANDS, _OPERANDS)),
    st.sampled_from(["{% raw %}{{ raw }}{% endraw %}", "{% increment x %}", "{%- echo title | upcase -%}"]),
    st.just("{% liquid\nassign x = title\necho x\n%}"),
)

templates = st.recursive(
    st.one_of(_CONTENT, _OUTPUTS),
    lambda inner: st.lists(st.one_of(inner, _CONTENT, _OUTPUTS, _STATEMENTS, _blocks(inner)), max_size=5).map("".join),
    max_leaves=12,
)
"""Sources that parse; what they do to their values may still fail."""
