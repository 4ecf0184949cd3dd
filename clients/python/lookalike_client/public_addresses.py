"""Which hosts pictures may be fetched from: how a host is spelt, and which addresses are public."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*:[^\]]*)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")

MAX_NAME = 253
"""Characters of a host's name (RFC 1035)."""

_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); cloud providers have services there
            "168.63.129.16/32",  # Azure's platform, which answers its own machines alone
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.31.196.0/24",  # AS112 (RFC 7535)
            "192.52.193.0/24",  # multicast tunnels (RFC 7450)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "192.175.48.0/24",  # AS112 (RFC 7534)
        ),
    )
)
"""Beside what `ipaddress` knows to be special."""

_GLOBAL_V6 = IPv6Network("2000::/3")
"""All global unicast. What lies outside is local, multicast, reserved, or an IPv4 address: mapped, NAT64 and others."""

_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo (RFC 4380) among them
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4 (RFC 3056)
            "2620:4f:8000::/48",  # AS112 (RFC 7534)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet.

    Loopback, private, link-local, unique-local, carrier-grade NAT, multicast, documentation, reserved and unspecified
    addresses are not, nor are IPv6 addresses that stand for IPv4 ones (mapped, compatible, NAT64, 6to4, Teredo), nor
    those with a zone. By IANA's registries of special-purpose addresses. Raises ValueError for what is no address.
    """
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        return found.is_global and not found.is_multicast and not any(found in network for network in _SPECIAL_V4)
    return found.scope_id is None and found in _GLOBAL_V6 and not any(found in network for network in _SPECIAL_V6)


def checked_host(host: str) -> str:
    """A host of an URL in its one spelling: a name in ASCII without its last dot, or an address without brackets.

    Raises ValueError, saying what would be right, for other spellings: resolvers read some of them as addresses.
    """
    name = host.lower().removesuffix(".")
    if ":" in name:
        if "%" in name:
            raise ValueError("its address has a zone, which means something on one machine only")
        return str(IPv6Address(name))
    labels = name.split(".")
    if len(name) > MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("its host is neither a name (in ASCII, xn-- for others) nor an address")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise ValueError("an IPv4 address is written as four decimal numbers, such as 192.0.2.7") from None
    return name


def allowed_host(text: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port`, `[IPv6]` or `[IPv6]:port`; no port stands for all. Raises ValueError."""
    parts = _HOST_AND_PORT.fullmatch(text.strip())
    port = int(parts["port"]) if parts and parts["port"] else None
    if not parts or (port is not None and not 0 < port < 65536):
        raise ValueError(f"{text!r} is no host: write host, host:port or [IPv6 address]:port.")
    try:
        return checked_host(parts["v6"] or parts["host"]), port
    except ValueError as error:
        raise ValueError(f"{text!r} is no host: {error}.") from error
