"""Which node serves which of the 16,384 hash slots of a cluster (Redis Cluster specification); a single node serves
all of them."""

import binascii
from typing import Any, Final

from gbe.redis.config import Address

SLOTS: Final = 16384


def slot_of(key: bytes) -> int:
    """The hash slot of a key: CRC16 (XMODEM) of the part in the first braces, if there is one that is not empty."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


class Topology:
    """The map of slots to the addresses of their masters."""

    def __init__(self, owner: Address | None = None) -> None:
        self._owners: list[Address | None] = [owner] * SLOTS
        self.replicas = 0  # the fewest that any master has
        self.nodes: frozenset[Address] = frozenset()  # masters and replicas
        self.masters: tuple[Address, ...] = () if owner is None else (owner,)

    def owner(self, slot: int) -> Address | None:
        """Who serves a slot, as far as is known."""
        return self._owners[slot]

    def move(self, slot: int, owner: Address) -> None:
        """A ``MOVED`` said so."""
        self._owners[slot] = owner
        if owner not in self.masters:
            self.masters = (*self.masters, owner)

    @property
    def is_complete(self) -> bool:
        """Whether every slot has an owner."""
        return None not in self._owners

    @classmethod
    def parse(cls, reply: list[Any], asked: Address) -> "Topology":
        """Read ``CLUSTER SLOTS``: ``[first, last, [host, port, id, …], replicas…]`` each.

        A node that does not know its own host gives an empty one: it is the one that was asked.
        """
        topology = cls()
        owners: dict[Address, int] = {}
        nodes: set[Address] = set()
        for first, last, master, *replicas in reply:
            owner = _address(master, asked)
            for slot in range(first, last + 1):
                topology._owners[slot] = owner
            nodes.add(owner)
            nodes.update(_address(replica, asked) for replica in replicas)
            owners[owner] = min(owners.get(owner, len(replicas)), len(replicas))
        topology.masters, topology.nodes = tuple(owners), frozenset(nodes)
        topology.replicas = min(owners.values(), default=0)
        return topology


def _address(node: list[Any], asked: Address) -> Address:
    host = (node[0] or b"").decode() if not isinstance(node[0], str) else node[0]
    return Address(asked.host if host in ("", "?") else host, int(node[1]))
