"""Each sabotage in this folder turns the tests red that it names: what guards the promises is guarded itself.

A sabotage is a patch against `src` with a header: a sentence that says what it breaks, `Promise:` (a heading of
docs/promises.md), `Proves:` (reasons, checks of the guard, terms of the books), and `Fails:` for each test that must fail.
CI runs some of them, `make prove` the others; that each fits the source, CI asks of all.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from documents import ROOT
from stentor.domain.vocabulary import Reason, SendState
from stentor.executions import explaining
from stentor.testing.databases import TestDatabases

FOLDER = Path(__file__).parent
PATCHES = sorted(FOLDER.glob("*.patch"))
FIELD = re.compile(r"^(Promise|Proves|Fails): (.+)$", re.MULTILINE)
# It is proved by running all tests on other servers, which no patch of ours undoes.
PROVED_ELSEWHERE = {"On every PostgreSQL from 15 on"}
# These only read or name what others decided.
DECIDES_NOTHING = {"vocabulary.py", "explaining.py", "replaying.py", "troubles.py"}


class Sabotage(NamedTuple):
    """What a patch's header says."""

    breaks: str
    promises: list[str]
    proves: set[str]
    fails: list[str]

    @classmethod
    def read(cls, patch: Path) -> "Sabotage":
        header = patch.read_text(encoding="utf-8").partition("\n--- a/")[0]
        fields: dict[str, list[str]] = {"Promise": [], "Proves": [], "Fails": []}
        for name, value in FIELD.findall(header):
            fields[name].append(value)
        return cls(
            header.partition("\n")[0], fields["Promise"], set(" ".join(fields["Proves"]).split()), fields["Fails"]
        )


SABOTAGES = {patch.stem: Sabotage.read(patch) for patch in PATCHES}

OF_A_PROMISE_IN_CI = 1
"""A sabotage takes nine seconds. One of each promise in CI, and whichever is the first to prove something; all in `make prove`."""


def in_ci() -> set[Path]:
    chosen: set[Path] = set()
    proved: set[str] = set()
    of_promise: Counter[str] = Counter()
    for patch in PATCHES:
        said = SABOTAGES[patch.stem]
        if said.proves - proved or any(of_promise[promise] < OF_A_PROMISE_IN_CI for promise in said.promises):
            chosen.add(patch)
            proved |= said.proves
            of_promise.update(said.promises)
    return chosen


IN_CI = in_ci()
RUN = [pytest.param(patch, id=patch.stem, marks=() if patch in IN_CI else pytest.mark.prove) for patch in PATCHES]


def test_every_sabotage_still_fits_the_source(tmp_path: Path):
    shutil.copytree(ROOT / "src", tmp_path / "src")

    stale = [
        patch.stem
        for patch in PATCHES
        if subprocess.run(["git", "apply", "--check", patch], cwd=tmp_path, check=False).returncode
    ]

    assert stale == []


@pytest.mark.parametrize("patch", RUN)
def test_a_sabotage_turns_the_tests_red_that_it_names(
    patch: Path, databases: TestDatabases, fresh_database: str, tmp_path: Path
):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    applied = subprocess.run(["git", "apply", patch], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, f"It no longer fits the source; make it anew.\n{applied.stderr}"

    report = tmp_path / "report.xml"
    named = SABOTAGES[patch.stem].fails
    # On the run's server and its schema: to start one, and to migrate, takes longer than most of these tests.
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "STENTOR_TEST_DATABASE_URL": fresh_database}
    if "/migrations/" not in patch.read_text(encoding="utf-8"):
        environment["STENTOR_TEST_TEMPLATE"] = databases.template()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'tmp'}", f"--junitxml={report}", *named],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout[-4_000:]
    assert named_by(failed_assertions(report)) == named_by(named), done.stdout[-4_000:]


def failed_assertions(report: Path) -> Iterator[str]:
    """The tests that ran and found something wrong; what could not be collected or set up has found nothing."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        failure = case.find("failure")
        if failure is not None and failure.get("message", "").startswith(
            ("assert ", "AssertionError", "Failed: DID NOT")
        ):
            yield case.get("name", "")


def named_by(tests: Iterator[str] | list[str]) -> set[str]:
    return {test.rpartition("::")[2].partition("[")[0] for test in tests}


@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=SABOTAGES)
def test_a_sabotage_says_what_it_breaks_and_names_tests_that_exist(sabotage: Sabotage):
    assert sabotage.breaks.endswith(".")
    assert set(sabotage.promises) <= promises()
    assert sabotage.promises
    assert sabotage.fails
    for file, _, name in (test.partition("::") for test in sabotage.fails):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_promise_is_sabotaged():
    assert (
        promises() - {promise for sabotage in SABOTAGES.values() for promise in sabotage.promises} == PROVED_ELSEWHERE
    )


def test_every_reason_check_and_number_is_sabotaged():
    proved = set[str]().union(*(sabotage.proves for sabotage in SABOTAGES.values()))

    checks = set(explaining._TRACE)
    terms = {"audience"} | {state.label for state in SendState}
    assert (reasons() | checks | terms) - proved == set()


def promises() -> set[str]:
    found = re.findall(r"^## (.+)$", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"), re.MULTILINE)
    return set(found) - {"Not promised yet"}


def reasons() -> set[str]:
    """The reasons that the engine gives."""
    sources = [file for file in (ROOT / "src" / "stentor").rglob("*.py") if file.name not in DECIDES_NOTHING]
    named = {
        name for file in sources for name in re.findall(r"\bReason\.([A-Z_]+)\b", file.read_text(encoding="utf-8"))
    }
    return {Reason[name].label for name in named - {"NONE"}}
