"""Leases on every engine, with clocks that are moved by hand."""

import asyncio

import pytest
from tests.conformance.state.conftest import OpenState
from tests.waiting import eventually

from gbe.clock import ManualClock
from gbe.errors import ConfigError, InvalidKeyError, LeaseLostError
from gbe.state.base import StateStore
from gbe.state.lease import Lease

TERM = 8.0


async def test_one_contender_gets_it(open_state: OpenState, key: str) -> None:
    """However many ask at once."""
    leases = [Lease(await open_state(), key, holder=f"c{number}") for number in range(8)]
    won = await asyncio.gather(*(lease.try_acquire() for lease in leases))
    assert sum(won) == 1
    assert [lease.is_held for lease in leases] == won
    assert leases[won.index(True)].fence == 1
    with pytest.raises(LeaseLostError, match="never acquired"):
        _ = leases[won.index(False)].fence


async def test_a_holder_that_renews_is_never_replaced(state: StateStore, key: str) -> None:
    """However long it holds, and however often the others look."""
    clock = ManualClock()
    holder, contender = Lease(state, key, clock=clock), Lease(state, key, clock=clock)
    assert await holder.try_acquire()
    for _ in range(40):
        clock.advance(TERM / 4)
        await holder.renew()
        assert not await contender.try_acquire()
    assert holder.fence == 1
    assert await holder.try_acquire(), "who holds it has it"


async def test_a_dead_holder_is_replaced_after_a_term(state: StateStore, key: str) -> None:
    """Not before the contender has seen a whole term without a renewal."""
    clock = ManualClock()
    holder, contender = Lease(state, key, clock=clock), Lease(state, key, clock=clock)
    assert await holder.try_acquire()
    clock.advance(TERM / 2)
    await holder.renew()
    assert not await contender.try_acquire()
    clock.advance(TERM - 0.1)
    assert not await contender.try_acquire()
    assert holder.is_held
    clock.advance(0.1)
    assert not holder.is_held
    assert await contender.try_acquire()
    assert contender.fence == 2
    with pytest.raises(LeaseLostError):
        await holder.renew()


async def test_failover_takes_less_than_two_terms(state: StateStore, key: str) -> None:
    """Whenever the holder dies between two looks of a contender that looks as often as it should."""
    for offset in range(8):
        clock = ManualClock()
        lease_key = f"{key}.{offset}"
        holder, contender = Lease(state, lease_key, clock=clock), Lease(state, lease_key, clock=clock)
        assert await holder.try_acquire()
        for _ in range(5):
            clock.advance(contender.pause)
            await holder.renew()
            assert not await contender.try_acquire()
        clock.advance(contender.pause * offset / 8)
        await holder.renew()
        died = clock.monotonic()
        while not await contender.try_acquire():
            clock.advance(contender.pause)
        assert clock.monotonic() - died <= 1.5 * TERM


async def test_what_is_released_is_free_at_once(state: StateStore, key: str) -> None:
    """And the fencing number goes on rising."""
    clock = ManualClock()
    leases = [Lease(state, key, clock=clock) for _ in range(3)]
    for number in range(9):
        lease = leases[number % 3]
        assert await lease.try_acquire()
        assert lease.fence == number + 1
        await lease.release()
        assert not lease.is_held
        await lease.release()
    with pytest.raises(LeaseLostError):
        await leases[0].renew()


async def test_a_holder_that_was_stopped_finds_its_term_over(open_state: OpenState, key: str) -> None:
    """Its clock went on while it stood; what it still does carries a number that is refused."""
    one, other = await open_state(), await open_state()
    clock = ManualClock()
    stopped, successor = Lease(one, key, clock=clock), Lease(other, key, clock=clock)
    deeds = f"{key}.deeds"
    assert await stopped.try_acquire()
    number = stopped.fence  # it looks, and is stopped before it acts
    assert not await successor.try_acquire()
    clock.advance(3 * TERM)
    assert await successor.try_acquire()
    assert await act(other, deeds, successor.fence, "successor")
    assert not stopped.is_held
    assert not await act(one, deeds, number, "stopped")
    assert await one.get_field(deeds, "by") == b"successor"
    with pytest.raises(LeaseLostError):
        await stopped.renew()
    assert not await stopped.try_acquire()


async def act(state: StateStore, key: str, fence: int, name: str) -> bool:
    """A deed under a lease, refused if a later holder has acted."""
    while True:
        last = await state.get_field(key, "fence")
        if last is not None and int(last) > fence:
            return False
        if await state.update_if(key, {"fence": last}, {"fence": b"%d" % fence, "by": name.encode()}):
            return True


@pytest.mark.parametrize("jump", [-86_400.0, -1.0, 5.0, 100.0, 86_400.0])
async def test_clocks_that_jump_never_make_two_holders_of_one_number(
    open_state: OpenState, key: str, jump: float
) -> None:
    """A contender whose clock is wrong may take over early; even so no number is held twice, and deeds are ordered."""
    stores = [await open_state() for _ in range(3)]
    clocks = [ManualClock() for _ in stores]
    leases = [
        Lease(store, key, clock=clock, holder=f"c{number}")
        for number, (store, clock) in enumerate(zip(stores, clocks, strict=True))
    ]
    holders: dict[int, set[str]] = {}
    accepted: list[int] = []
    for step in range(60):
        number = step * 7 % 3
        lease, store = leases[number], stores[number]
        if await lease.try_acquire():
            fence = lease.fence
            holders.setdefault(fence, set()).add(lease.holder)
            if step % 5:
                clocks[number].advance(jump if step % 2 else TERM / 8)
            if await act(store, f"{key}.deeds", fence, lease.holder):
                accepted.append(fence)
        for clock in clocks:
            clock.advance(TERM / 6)
        clocks[(number + 1) % 3].advance(jump)
    assert accepted == sorted(accepted)
    assert all(len(names) == 1 for names in holders.values())
    assert len(accepted) > 5


async def test_held_keeps_it_while_the_block_runs(open_state: OpenState, key: str) -> None:
    """It is renewed meanwhile, and free at the end of the block."""
    one, other = await open_state(), await open_state()
    lease, contender = Lease(one, key, term=2.0), Lease(other, key, term=2.0)
    async with lease.held() as fence:
        assert (fence, lease.fence) == (1, 1)

        async def was_renewed() -> bool:
            return int(await other.get_field(key, "beat") or b"0") >= 3

        await eventually(was_renewed, "three renewals")
        assert not await contender.try_acquire()
    async with contender.held() as fence:
        assert fence == 2


async def test_a_lost_lease_ends_the_block(open_state: OpenState, key: str) -> None:
    """Somebody took it by force: what runs under it is cancelled, and the caller learns why."""
    one, other = await open_state(), await open_state()
    lease = Lease(one, key, term=1.0)
    cancelled: list[bool] = []

    async def work() -> None:
        async with lease.held():
            await other.set_fields(key, {"holder": b"thief", "fence": b"7"})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    with pytest.raises(LeaseLostError, match="somebody else"):
        await work()
    assert cancelled
    assert await other.get_field(key, "holder") == b"thief"
    assert not lease.is_held


async def test_cancelling_the_block_is_no_loss(open_state: OpenState, key: str) -> None:
    """The cancellation goes through, and the lease is released."""
    state = await open_state()
    lease, entered = Lease(state, key), asyncio.Event()

    async def work() -> None:
        async with lease.held():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Lease(state, key).try_acquire()


async def test_bad_leases_are_refused(state: StateStore, key: str) -> None:
    """At once."""
    with pytest.raises(InvalidKeyError):
        Lease(state, "a.*")
    with pytest.raises(ConfigError, match="term"):
        Lease(state, key, term=0)
