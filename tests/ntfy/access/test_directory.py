"""Changes that meet: on several nodes at the same time, and before a node has heard of them."""

import asyncio

from tests.naming import unique
from tests.ntfy.access.accounts import Nodes
from tests.ntfy.server import eventually

from gbe.notify.access.permissions import Permission


def test_changes_of_one_user_on_two_nodes_at_the_same_time_are_all_kept(nodes: Nodes) -> None:
    user = nodes.new_user()
    patterns = [unique("p") for _ in range(12)]
    one, other = nodes.one.access, nodes.other.access
    assert one is not None
    assert other is not None

    async def both() -> None:
        await asyncio.gather(
            *((one, other)[n % 2].accounts.allow(user.name, p, Permission.READ_ONLY) for n, p in enumerate(patterns)),
            *(access.accounts.issue(user.name) for access in (one, other, one, other)),
        )

    nodes.one.loop.call(both())

    def is_complete() -> bool:
        for access in (one, other):
            found = access.directory.user(user.name)
            if found is None or set(found.entries) != set(patterns) or len(found.tokens) != 4:
                return False
        return True

    eventually(is_complete, "both nodes know everything")


def test_a_user_can_be_made_once_however_many_try(nodes: Nodes) -> None:
    name = unique("user")

    async def both() -> list[object]:
        accounts = [server.access.accounts for server in (nodes.one, nodes.other) if server.access is not None]
        adding = (each.add(name, "$2a$10$" + "a" * 53) for each in accounts)
        return await asyncio.gather(*adding, return_exceptions=True)

    results = nodes.one.loop.call(both())
    assert sorted(getattr(result, "code", 0) for result in results) == [0, 40901]


def test_what_is_read_late_does_not_undo_a_change(memory_nodes: Nodes) -> None:
    """An event that was read before an own change, and is handled after it."""
    access = memory_nodes.one.access
    assert access is not None
    user = memory_nodes.new_user()
    before = access.directory.user(user.name)
    assert before is not None
    memory_nodes.one.loop.call(access.accounts.allow(user.name, "late", Permission.READ_ONLY))

    async def late() -> None:
        access.directory.apply(user.name, before)

    memory_nodes.one.loop.call(late())
    found = access.directory.user(user.name)
    assert found is not None
    assert "late" in found.entries
