"""docs/faults.md is what the marks of the tests say, and no row is without a proof."""

import importlib.util
from types import ModuleType

import pytest

from documents import ROOT


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """tools/faults.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("faults", ROOT / "tools" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_tests_as_they_are(faults: ModuleType):
    assert faults.PAGE.read_text(encoding="utf-8") == faults.page(), "It is stale; run python tools/faults.py"


def test_every_row_is_proved_by_a_test(faults: ModuleType):
    proofs = faults.proofs()

    assert [number for number in faults.rows() if number not in proofs] == []


@pytest.mark.parametrize(
    "of_all",
    ['pytest.mark.fault("F1", "F2")', '[pytest.mark.anyio, pytest.mark.fault("F1", "F2"), pytest.mark.timeout(9)]'],
)
def test_a_mark_of_a_module_is_of_each_of_its_tests(faults: ModuleType, of_all: str):
    source = f"""
pytestmark = {of_all}

def no_test(): ...

def test_one(): ...

@pytest.mark.fault("F2", "S1")
async def test_another(): ...
"""

    assert list(faults.marks(source)) == [
        ("F1", "test_one"),
        ("F2", "test_one"),
        ("F1", "test_another"),
        ("F2", "test_another"),
        ("S1", "test_another"),
    ]


def test_a_mark_of_one_test_is_of_no_other(faults: ModuleType):
    source = """
pytestmark = pytest.mark.anyio

@pytest.mark.fault("F1")
async def test_one(): ...

def test_another(): ...
"""

    assert list(faults.marks(source)) == [("F1", "test_one")]
