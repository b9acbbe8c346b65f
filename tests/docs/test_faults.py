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
