from stentor.domain.hosts import is_loopback, url_of


def test_this_machine_is_known_by_its_literal_address():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(
        is_loopback(host) for host in ("", "smtp.example.net", "localhost.example.net", "0.0.0.0", "10.0.0.1")
    )


def test_an_ipv6_address_has_brackets_in_a_url():
    assert [url_of(host, 8080) for host in ("::1", "127.0.0.1", "a.example")] == [
        "http://[::1]:8080",
        "http://127.0.0.1:8080",
        "http://a.example:8080",
    ]
