"""Where senders' URLs may lead: the corpus of addresses by which others were made to attack their own network."""

from ipaddress import ip_address

import pytest

from stentor.channels.outbound import Outbound
from stentor.channels.public_address import NotReachable, Reach
from stentor.errors import Invalid

STRICT = Outbound()
LOOPBACK = Outbound(allow_loopback=True)
PRIVATE = Outbound(allow_private_networks=True)

THIS_MACHINE = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
PRIVATE_NETWORKS = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "::ffff:10.0.0.1",
]
NEVER = [
    "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "168.63.129.16",
    "100.100.100.200", "fe80::1", "0.0.0.0", "0.1.2.3", "::", "::127.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "192.88.99.1", "2001:db8::1", "3fff::1", "fec0::1", "100::1", "64:ff9b:1::1", "5f00::1", "4000::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "93.184.215.14",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "64:ff9b::101:101",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_over_https(address: str):
    for outbound in (STRICT, LOOPBACK, PRIVATE):
        assert not outbound.objection("https", ip_address(address), 443)
        assert "only https" in outbound.objection("http", ip_address(address), 80)


@pytest.mark.parametrize("port", [22, 25, 80, 5432, 6379, 9200])
def test_and_on_no_port_that_belongs_to_something_else(port: int):
    assert f"port {port}" in STRICT.objection("https", ip_address("1.1.1.1"), port)


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_some_addresses_are_opened_by_no_setting(address: str, scheme: str):
    for outbound in (STRICT, LOOPBACK, PRIVATE):
        assert "no sender may reach" in outbound.objection(scheme, ip_address(address), 443)


@pytest.mark.parametrize("address", THIS_MACHINE)
def test_this_machine_is_reached_where_an_operator_allows_it(address: str):
    assert "STENTOR_ALLOW_LOOPBACK" in STRICT.objection("https", ip_address(address), 443)
    for outbound in (LOOPBACK, PRIVATE):
        assert not outbound.objection("http", ip_address(address), 8000)
        assert "port 22" in outbound.objection("http", ip_address(address), 22)


@pytest.mark.parametrize("address", PRIVATE_NETWORKS)
def test_private_networks_are_reached_where_an_operator_allows_it(address: str):
    for outbound in (STRICT, LOOPBACK):
        assert "STENTOR_ALLOW_PRIVATE_NETWORKS" in outbound.objection("https", ip_address(address), 443)
    assert not PRIVATE.objection("http", ip_address(address), 8000)
    assert "port 22" in PRIVATE.objection("https", ip_address(address), 22)


@pytest.mark.parametrize("address", [*THIS_MACHINE, *PRIVATE_NETWORKS, *NEVER])
def test_an_objection_does_not_tell_the_address(address: str):
    assert address not in STRICT.objection("https", ip_address(address), 443)


@pytest.mark.parametrize(
    ("url", "outbound"),
    [
        ("http://example.com/", STRICT),
        ("http://example.com/", LOOPBACK),
        ("https://example.com:5432/", STRICT),
        ("http://localhost:8000/", STRICT),
        ("https://localhost/", STRICT),
        ("https://10.0.0.1/", LOOPBACK),
        ("https://[::ffff:127.0.0.1]/", STRICT),
        ("https://169.254.169.254/", PRIVATE),
    ],
)
def test_what_no_answer_of_a_resolver_can_make_good_is_refused_at_once(url: str, outbound: Outbound):
    with pytest.raises(Invalid) as caught:
        Reach(public_url="https://stentor.example.net", outbound=outbound).check("webhook", {"url": url})

    assert [violation.pointer for violation in caught.value.violations] == ["/settings/url"]


@pytest.mark.parametrize(
    ("url", "outbound"),
    [("https://example.com/", STRICT), ("http://127.0.0.1:8000/", LOOPBACK), ("http://hooks.internal:8000/", PRIVATE)],
)
def test_a_webhook_is_switched_on_where_people_can_find_us(url: str, outbound: Outbound):
    Reach(public_url="https://stentor.example.net", outbound=outbound).check("webhook", {"url": url})


def test_without_a_public_address_a_webhook_goes_to_this_machine_at_most():
    Reach(outbound=LOOPBACK).check("webhook", {"url": "http://localhost:8000/"})
    with pytest.raises(NotReachable):
        Reach(outbound=LOOPBACK).check("webhook", {"url": "https://example.com/"})
