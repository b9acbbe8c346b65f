"""`make sbom` tells what a running Stentor is made of."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@pytest.mark.fault("S22")
def test_the_bill_of_materials_has_what_we_need_and_none_of_our_tools():
    done = subprocess.run([sys.executable, ROOT / "tools" / "sbom.py"], stdout=subprocess.PIPE, text=True, check=True)

    components = json.loads(done.stdout)["components"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {component["name"] for component in components}
    assert {Requirement(line).name for line in project["project"]["dependencies"]} <= names
    assert not {"pytest", "ruff", "pip-audit"} & names
    assert all(component["version"] and component["purl"] for component in components)
