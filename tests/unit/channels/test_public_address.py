import pytest

from stentor.channels.public_address import is_public_https


@pytest.mark.parametrize(
    "url", ["https://stentor.example.org", "https://stentor.example.org:8443/x", "https://1.1.1.1"]
)
def test_an_https_address_on_the_internet_is_public(url: str):
    assert is_public_https(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://stentor.example.org",
        "https://",
        "https://localhost",
        "https://localhost.:8080",
        "https://app.localhost",
        "https://printer.local",
        "https://api.internal.",
        "https://stentor",
        "https://127.0.0.1:8080",
        "https://10.0.0.7",
        "https://169.254.169.254",
        "https://[::1]",
        "https://[fd00::1]",
        "https://[::1",
        "ftp://stentor.example.org",
    ],
)
def test_an_address_that_leads_back_to_a_network_of_ones_own_is_not(url: str):
    assert not is_public_https(url)
