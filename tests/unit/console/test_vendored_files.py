"""What is somebody else's stands in the package as they published it, with its licence."""

import hashlib
import tomllib
from importlib import resources

STATIC = resources.files("stentor.console").joinpath("static")
VENDORED = tomllib.loads(STATIC.joinpath("vendored.toml").read_text("utf-8"))


def test_vendored_files_are_the_published_ones_and_have_their_licence():
    assert set(VENDORED) == {"htmx.min.js"}
    for name, told in VENDORED.items():
        assert hashlib.sha256(STATIC.joinpath(name).read_bytes()).hexdigest() == told["sha256"], name
        assert STATIC.joinpath(told["licence_file"]).read_text("utf-8").strip()
