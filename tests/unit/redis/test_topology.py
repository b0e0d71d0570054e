"""Who serves which slot."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from gbe.redis.config import Address
from gbe.redis.topology import SLOTS, Topology, slot_of

ASKED = Address("10.0.0.1", 7000)


@given(st.binary() | st.lists(st.sampled_from([b"{", b"}", b"a", b"b"])).map(b"".join))
def test_a_key_has_the_slot_that_redis_gives_it(key: bytes) -> None:
    """redis-py's own count agrees, also where braces do not match or hold nothing."""
    assert slot_of(key) == key_slot(key)


def test_slots_of_the_specification() -> None:
    assert slot_of(b"123456789") == 0x31C3 % SLOTS
    assert slot_of(b"{user1000}.following") == slot_of(b"user1000")
    assert slot_of(b"foo{}{bar}") == key_slot(b"foo{}{bar}") != slot_of(b"bar")
    assert slot_of(b"foo{{bar}}zap") == slot_of(b"{bar")


def test_a_map_is_read_with_its_masters_and_replicas() -> None:
    """The fewest replicas of any master count: what is stored there has no more copies."""
    reply = [
        [0, 8191, [b"a", 1, b"id1", []], [b"c", 3, b"id3", []], [b"d", 4, b"id4", []]],
        [8192, SLOTS - 1, [b"b", 2, b"id2", []], [b"e", 5, b"id5", []]],
    ]
    topology = Topology.parse(reply, ASKED)
    assert topology.is_complete
    assert (topology.owner(0), topology.owner(8191), topology.owner(8192)) == (
        Address("a", 1),
        Address("a", 1),
        Address("b", 2),
    )
    assert topology.masters == (Address("a", 1), Address("b", 2))
    assert topology.nodes == {Address(name, port) for port, name in enumerate("abcde", 1)}
    assert topology.replicas == 1


def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked() -> None:
    for unknown in (b"", b"?", None, ""):
        topology = Topology.parse([[0, SLOTS - 1, [unknown, 7001, b"id"]]], ASKED)
        assert topology.owner(5) == Address("10.0.0.1", 7001)
        assert topology.replicas == 0


def test_a_map_with_a_gap_is_not_complete() -> None:
    topology = Topology.parse([[0, 99, [b"a", 1]], [101, SLOTS - 1, [b"a", 1]]], ASKED)
    assert not topology.is_complete
    assert topology.owner(100) is None
    topology.move(100, Address("b", 2))  # a MOVED knew it
    assert topology.is_complete
    assert topology.owner(100) == Address("b", 2)
    assert topology.masters == (Address("a", 1), Address("b", 2))


def test_an_empty_map_has_no_masters() -> None:
    topology = Topology.parse([], ASKED)
    assert (topology.masters, topology.replicas, topology.is_complete) == ((), 0, False)


@given(st.lists(st.integers(1, SLOTS - 1), unique=True, max_size=20).map(sorted), st.data())
def test_every_slot_has_the_owner_of_its_range(borders: list[int], data: st.DataObject) -> None:
    bounds = [0, *borders, SLOTS]
    ranges = list(itertools.pairwise(bounds))
    nodes = [data.draw(st.integers(1, 5)) for _ in ranges]
    reply = [[low, high - 1, [b"n", port, b""]] for (low, high), port in zip(ranges, nodes, strict=True)]
    topology = Topology.parse(reply, ASKED)
    slot = data.draw(st.integers(0, SLOTS - 1))
    expected = next(port for (low, high), port in zip(ranges, nodes, strict=True) if low <= slot < high)
    assert topology.owner(slot) == Address("n", expected)


def test_a_single_server_serves_everything() -> None:
    topology = Topology(ASKED)
    assert topology.is_complete
    assert topology.owner(SLOTS - 1) == ASKED


def test_an_address_of_ip_6_has_brackets() -> None:
    assert str(Address("::1", 1)) == "[::1]:1"
