"""Where a request that somebody else asked for may go: to the internet, not into the network that we are in."""

import asyncio
import ipaddress
import socket
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Where a gateway translates to IPv4 (RFC 6052)."""

_SPECIAL: Final = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments; a cloud has its metadata there
    ipaddress.ip_network("::/96"),  # "IPv4-compatible"
    ipaddress.ip_network("::ffff:0:0:0/96"),  # translated (RFC 2765)
    ipaddress.ip_network("64:ff9b:1::/48"),  # translation within a network (RFC 8215)
    ipaddress.ip_network("3fff::/20"),  # documentation
    ipaddress.ip_network("5f00::/16"),  # segment routing
    ipaddress.ip_network("fec0::/10"),  # site-local
)
"""Special networks (IANA's registries) that some versions of ``ipaddress`` take for public ones."""


class InternalAddressError(OSError):
    """A name leads to this machine, or into a private, link-local or reserved network."""


async def resolve(host: str, port: int, *, allow_internal: bool = False) -> str:
    """The address to connect to. Whoever connects to it and not to the name goes where was looked.

    Args:
        allow_internal: whether any address will do.

    Raises:
        InternalAddressError: one of the addresses is internal.
        OSError: nobody knows the name.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:  # a label that is empty or too long
        raise OSError(f"{host[:100]!r} is no name of a host") from exc
    addresses = [str(info[4][0]) for info in found]
    if not allow_internal and not all(is_public(address) for address in addresses):
        raise InternalAddressError(f"{host} is an internal address")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address lies outside of this machine and of private, link-local and reserved networks."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    ip = _embedded(ip) or ip
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _SPECIAL if net.version == ip.version)


def _embedded(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which a mapped or translated IPv6 address leads."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
