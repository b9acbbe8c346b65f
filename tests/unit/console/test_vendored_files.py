"""What is somebody else's stands in the package as they published it, with its licence."""

import hashlib
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

STATIC = resources.files("stentor.console").joinpath("static")
ASSETS = Path(__file__).parents[2] / "assets"


@pytest.mark.parametrize("folder", [STATIC, ASSETS])
def test_vendored_files_are_the_published_ones_and_have_their_licence(folder: Traversable):
    vendored = tomllib.loads(folder.joinpath("vendored.toml").read_text("utf-8"))
    for name, told in vendored.items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == told["sha256"], name
        assert folder.joinpath(told["licence_file"]).read_text("utf-8").strip()
