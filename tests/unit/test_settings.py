"""What an operator says is looked at when a process starts, not when the first message is written."""

import pytest
from pydantic import ValidationError

from stentor.settings import Settings


@pytest.mark.parametrize("said", ["https://news.example.com", "https://news.example.com/", "http://127.0.0.1:8080"])
def test_a_public_url_is_kept_without_the_slash_at_its_end(said: str):
    assert Settings(public_url=said).public_url == said.rstrip("/")


@pytest.mark.parametrize(
    "said",
    ["news.example.com", "news.example.com:8080", "//news.example.com", "https://", "https://[", "https://x/?a"],
)
def test_a_public_url_that_no_link_could_begin_with_is_refused(said: str):
    with pytest.raises(ValidationError, match=r"public_url"):
        Settings(public_url=said)


def test_an_empty_public_url_is_none():
    assert Settings(public_url="").public_url is None


def test_an_empty_data_directory_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STENTOR_DATA", "")

    with pytest.raises(ValidationError, match=r"empty path"):
        Settings()


def test_networks_of_proxies_are_read_with_blanks_between_them():
    assert Settings(trusted_proxies="10.0.0.0/8, 2001:db8::/32,192.0.2.1").trusted_proxies


@pytest.mark.parametrize("said", ["10.0.0.1/8", "somewhere", "10.0.0.0/8;192.0.2.1", "10.0.0.0/40"])
def test_a_network_that_is_none_is_refused(said: str):
    with pytest.raises(ValidationError, match=r"trusted_proxies"):
        Settings(trusted_proxies=said)


@pytest.mark.parametrize(
    "said", ["bucket/path", "s3://", "https://bucket", "s3://bucket?x=1", "s3://a:b@bucket/x", "file:///x"]
)
def test_a_storage_that_is_none_is_refused(said: str):
    with pytest.raises(ValidationError, match=r"storage_url"):
        Settings(storage_url=said)


@pytest.mark.parametrize("said", ["s3://bucket/path", "s3://bucket/path/", "gs://bucket/path"])
def test_a_storage_is_a_bucket_and_a_path(said: str):
    assert Settings(storage_url=said).storage_url == said.rstrip("/")


def test_an_empty_storage_is_the_data_directory():
    assert Settings(storage_url="").storage_url is None
