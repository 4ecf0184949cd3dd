"""Which addresses are public, and how hosts are spelt."""

import pytest

from lookalike_client.public_addresses import allowed_host, checked_host, is_public

NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255"),  # noqa: S104
    *("127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo"),
    *("fec0::1", "ff02::1", "2606:4700::1111%eth0"),
]
PUBLIC = [
    *(
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.1",
    ),
    *("2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2003::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_these_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_these_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("cdn_1.shop.example", "cdn_1.shop.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("7-eleven.example", "7-eleven.example"),
    ],
)
def test_a_host_has_one_spelling(given: str, spelt: str) -> None:
    assert checked_host(given) == spelt


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", "shop.example..", "-shop.example", "shop-.example", "a b", "bücher.example", "%6c.example"),
        *("2130706433", "127.1", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "256.1.1.1"),
        *("shop.0x", "a" * 64, ".".join(["a" * 60] * 5), "fe80::1%eth0", "1::2::3", "*.example"),
    ],
)
def test_other_spellings_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked_host(host)


def test_hosts_are_allowed_with_a_port_or_for_all() -> None:
    assert allowed_host("Shop.example") == ("shop.example", None)
    assert allowed_host("shop.example:8080") == ("shop.example", 8080)
    assert allowed_host("[::1]") == ("::1", None)
    assert allowed_host("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize(
    "text", ["", "http://shop.example", "shop.example/x", "shop.example:0", "a:70000", "::1", "[a]"]
)
def test_what_is_no_host_is_not_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        allowed_host(text)
