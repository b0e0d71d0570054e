"""Where a request that somebody else asked for may go: to the internet, not into the network that we are in."""

import asyncio
import ipaddress
import socket


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
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast
