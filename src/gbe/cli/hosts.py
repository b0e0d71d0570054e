"""Hosts of the configuration as networks: names are looked up, once, when the server starts."""

import asyncio
import logging
from collections.abc import Iterable

from gbe.notify.visitors import Network, names_among, parse_networks

logger = logging.getLogger(__name__)


async def networks_of(hosts: Iterable[str], key: str) -> tuple[Network, ...]:
    """Addresses, prefixes, and the addresses of names; a name that nobody knows is left out, and the log says so.

    Args:
        key: of the configuration, for the log.
    """
    hosts = tuple(hosts)
    addresses: list[str] = []
    for name in names_among(hosts):
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(name, None)
        except (OSError, UnicodeError) as exc:  # the second: no name that one could ask for
            logger.warning("%s: host %s is not known, and left out: %s", key, name, exc)
            continue
        addresses.extend(str(info[4][0]) for info in infos)
    return tuple(dict.fromkeys((*parse_networks(hosts), *parse_networks(addresses))))
