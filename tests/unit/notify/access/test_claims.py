"""An address is one user's, also when whoever claimed it died on the way."""

import asyncio
import time

import pytest

from gbe.notify.access.claims import Claims
from gbe.notify.access.emails import MAX_EMAILS, Email, folded, mailbox_of, primary_of, with_primary
from gbe.state.memory import MemoryRecords, MemoryStateStore


@pytest.fixture
def store() -> MemoryStateStore:
    return MemoryStateStore(MemoryRecords())


async def _is_held(_name: str) -> bool:
    return True


async def _is_not_held(_name: str) -> bool:
    return False


async def test_of_many_who_want_an_address_one_gets_it(store: MemoryStateStore) -> None:
    claims = Claims(store, "n")
    got = await asyncio.gather(*(claims.take("Ann@x.net", f"user{n}", _is_not_held) for n in range(10)))
    assert sum(got) == 1
    winner = f"user{got.index(True)}"
    assert await claims.take("ann@X.net", winner, _is_not_held), "who has it may ask again"
    await claims.release("ANN@x.net", "somebody else")
    assert not await claims.take("ann@x.net", "somebody else", _is_held)
    await claims.release("ANN@x.net", winner)
    assert await claims.take("ann@x.net", "somebody else", _is_not_held)


async def test_a_claim_that_led_to_nothing_falls_away(store: MemoryStateStore) -> None:
    """Not at once: its user may be about to be written."""
    claims = Claims(store, "n")
    await claims.take("ann@x.net", "crashed", _is_not_held)
    assert not await claims.take("ann@x.net", "other", _is_not_held)
    [record] = [record async for record in store.scan("n.state.notify.emails")]
    await store.put(record.key, {**record.fields, "since": b"%d" % (time.time() - 61)})
    assert not await claims.take("ann@x.net", "other", _is_held)
    assert await claims.take("ann@x.net", "other", _is_not_held)
    assert not await claims.take("ann@x.net", "crashed", _is_held)


def test_only_a_verified_address_is_primary() -> None:
    emails = {folded(each): Email(address=each, verified=n) for n, each in enumerate(("A@x.net", "b@x.net"))}
    assert primary_of(with_primary(emails, "a@X.net")) == ""
    chosen = with_primary(emails, "B@x.net")
    assert primary_of(chosen) == "b@x.net"
    box = mailbox_of(chosen)
    assert (box.anonymous, box.primary, box.verified) == (False, "b@x.net", {"b@x.net"})
    assert len(box.verified) < MAX_EMAILS
