import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stentor.accounts.installation import InstallationSecret, SecretRefused


def test_purposes_get_different_keys_that_stay_the_same():
    secret = InstallationSecret(b"x" * 32)

    assert secret.derive("pepper") == InstallationSecret(b"x" * 32).derive("pepper")
    assert len({secret.derive("pepper"), secret.derive("links"), InstallationSecret(b"y" * 32).derive("pepper")}) == 3
    assert len(secret.derive("pepper")) == 32


def test_a_secret_of_less_than_32_bytes_is_refused():
    with pytest.raises(SecretRefused, match="at least 32"):
        InstallationSecret(b"x" * 31)
    with pytest.raises(SecretRefused, match="openssl rand"):
        InstallationSecret.from_text("hunter2")


def test_a_setting_is_read_as_base64_or_as_text():
    raw = bytes(range(48))
    text = "correct horse battery staple, and then some!"

    assert InstallationSecret.from_text(base64.b64encode(raw).decode() + "\n").derive("x") == (
        InstallationSecret(raw).derive("x")
    )
    assert InstallationSecret.from_text(text).derive("x") == InstallationSecret(text.encode()).derive("x")


def test_the_file_is_made_once_and_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "data" / "secret.key"

    first = InstallationSecret.from_file(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert InstallationSecret.from_file(path).derive("x") == first.derive("x")
    assert [child.name for child in path.parent.iterdir()] == ["secret.key"]


def test_processes_that_make_the_file_at_once_share_one_secret(tmp_path: Path):
    path = tmp_path / "secret.key"

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(InstallationSecret.from_file, [path] * 16))

    assert len({secret.derive("x") for secret in made}) == 1


def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path):
    path = tmp_path / "secret.key"
    InstallationSecret.from_file(path)
    path.chmod(0o640)

    with pytest.raises(SecretRefused, match=f"chmod 600 {path}"):
        InstallationSecret.from_file(path)
