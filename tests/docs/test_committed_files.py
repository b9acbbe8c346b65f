"""What is committed tells nothing of the machine it was written on, and gives nobody a key."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A regular expression does not match its own text, so this file needs no exception.
SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a cloud provider's key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a code host's token": re.compile(r"\bgh[pousr]_[0-9A-Za-z]{36}\b|\bglpat-[\w-]{20}\b"),
    "a password in an address": re.compile(r"://[^\s/:@<{]+:[^\s/:@<{…*]{6,}@(?!localhost|127\.)"),
}
PLACES = {
    "a directory of one machine": re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+)/\w"),
    "the address of a package index": re.compile(
        r"\bfiles\.pythonhosted\.org|\bregistry\.npmjs\.org|\bpypi\.org/simple"
    ),
    "an index of one's own": re.compile(r'^\s*--(?:extra-)?index-url|"resolved": *"http', re.MULTILINE),
}


@pytest.mark.fault("S22")
@pytest.mark.parametrize("what", [*SECRETS, *PLACES])
def test_no_committed_file_holds_a_secret_or_names_a_place(what: str):
    pattern = (SECRETS | PLACES)[what]

    found = {name: match[0] for name, text in texts() if (match := pattern.search(text))}

    assert found == {}


def texts() -> Iterator[tuple[str, str]]:
    # The owner of a clone is not always who runs its tests, which git distrusts.
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        file = ROOT / name
        # A file that was removed is still listed until that is committed.
        if name and file.is_file():
            yield name, file.read_text(encoding="utf-8", errors="replace")
