"""Makes a suppression file for measuring: `python benchmarks/optout_file.py FILE [--lines N] [--seed S] [--hashes]`.

E-mail addresses as people have them, or their MD5, one a line. Of each hundred lines one is no address and five repeat an
earlier one, so that what an import has to count is known (`counts`). The others are address(0), address(1) and so on. The same
lines and seed make the same file.
"""

import argparse
import json
from pathlib import Path

import duckdb


def _words(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _words(
    "james mary john robert linda david susan joseph thomas karen chris sarah daniel lisa nancy tony sandra mark"
    " betty don ashley steve emily paul kim andrew donna josh ken carol kevin amanda brian george tim steph ron jason"
    " laura ed helen jeff sharon ryan jacob kathy gary amy nick eric angela jon anna steven ruth larry brenda justin"
    " pam scott nicole katie ben sam greg frank alex ray emma pat jack dennis jerry olivia tyler aaron jose adam henry"
    " nathan doug zach peter kyle walter noah ethan jeremy harold keith"
)
LAST_NAMES = _words(
    "smith brown jones garcia miller davis lopez wilson thomas taylor moore martin lee perez white harris clark lewis"
    " walker young allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera carter gomez"
    " evans turner diaz parker cruz reyes morris murphy cook rogers ortiz morgan cooper bailey reed kelly howard ramos"
    " kim cox ward watson brooks chavez wood james gray ruiz hughes price"
)
# About as they are met: half of all addresses are at three of them.
DOMAINS = (
    ["gmail.com"] * 24
    + ["yahoo.com"] * 12
    + ["hotmail.com"] * 8
    + ["aol.com"] * 4
    + ["outlook.com"] * 4
    + ["icloud.com"] * 2
    + [
        "comcast.net",
        "msn.com",
        "live.com",
        "gmx.de",
        "web.de",
        "mail.ru",
        "orange.fr",
        "btinternet.com",
        "verizon.net",
    ]
    + ["example.org"]
)

# So many addresses differ in their names and short numbers alone; further ones have longer numbers.
_SHORT = 1 << 28
_FACTOR = 2654435761

# Of each hundred lines.
_MALFORMED = {0}
_REPEATED = {10, 30, 50, 70, 90}
_FRESH_BEFORE = [sum(line not in _MALFORMED | _REPEATED for line in range(place)) for place in range(101)]

LINES = f"""
    WITH placed AS (
        SELECT range AS line, range % 100 AS place, range // 100 * {_FRESH_BEFORE[100]} + ({_FRESH_BEFORE})[range % 100 + 1] AS fresh
        FROM range(:lines)
    ), numbered AS (
        SELECT line, place, CASE WHEN place IN {tuple(_REPEATED)} THEN (line * {_FACTOR} + :seed) % fresh ELSE fresh END AS number
        FROM placed
    ), mixed AS (
        SELECT line, place, number * {_FACTOR} % {_SHORT} + number // {_SHORT} * {_SHORT} AS person FROM numbered
    ), addressed AS (
        SELECT line, place, ({FIRST_NAMES})[person % {len(FIRST_NAMES)} + 1]
            || CASE person % 7 WHEN 0 THEN '.' ELSE '' END
            || ({LAST_NAMES})[person // {len(FIRST_NAMES)} % {len(LAST_NAMES)} + 1]
            || person // {len(FIRST_NAMES) * len(LAST_NAMES)}
            || '@' || ({DOMAINS})[person * 7919 // 1024 % {len(DOMAINS)} + 1] AS address
        FROM mixed
    )
    SELECT CASE WHEN place = 0 THEN 'unknown recipient ' || line ELSE :text END FROM addressed
"""  # noqa: S608  constants of this module


def address(number: int) -> str:
    """The entry of that number; those from 10**9 on are in no file."""
    person = number * _FACTOR % _SHORT + number // _SHORT * _SHORT
    first = FIRST_NAMES[person % len(FIRST_NAMES)]
    last = LAST_NAMES[person // len(FIRST_NAMES) % len(LAST_NAMES)]
    domain = DOMAINS[person * 7919 // 1024 % len(DOMAINS)]
    return f"{first}{'' if person % 7 else '.'}{last}{person // (len(FIRST_NAMES) * len(LAST_NAMES))}@{domain}"


def counts(lines: int) -> dict[str, int]:
    """What an import of such a file into an empty list has to count: submitted = added + duplicate + malformed."""
    whole, rest = divmod(lines, 100)
    malformed = whole * len(_MALFORMED) + sum(place in _MALFORMED for place in range(rest))
    added = whole * _FRESH_BEFORE[100] + _FRESH_BEFORE[rest]
    return {"lines": lines, "added": added, "duplicate": lines - added - malformed, "malformed": malformed}


def make(path: Path, lines: int, *, seed: int = 1, hashes: bool = False) -> dict[str, int]:
    """Writes the file, more than two million lines a second, and answers with its counts and its bytes."""
    text = "md5(address)" if hashes else "address"
    query = LINES.replace(":lines", str(lines)).replace(":seed", str(seed)).replace(":text", text)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '\t')")
    return {**counts(lines), "bytes": path.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--lines", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hashes", action="store_true")
    asked = parser.parse_args()
    print(json.dumps(make(asked.file, asked.lines, seed=asked.seed, hashes=asked.hashes)))


if __name__ == "__main__":
    main()
