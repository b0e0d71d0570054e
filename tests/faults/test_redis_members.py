"""Members of a group freeze, are killed, come and go, as processes: their messages go to others, and none is lost."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.redis_faults import OPTIONS, Clients, new_root
from tests.redis_engines import RedisProcess
from tests.redis_member import Member
from tests.total_queue import Account
from tests.waiting import eventually, take

from gbe.errors import TransportUnavailableError
from gbe.ids import new_ulid
from gbe.transport import draining
from gbe.transport.base import LATEST, Consumption, Delivery
from gbe.transport.redis.inflight import Inflight
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault

ACK_TIMEOUT = 1.5
PATTERNS = pytest.mark.parametrize("pattern", ["x", "*"], ids=["literal", "wildcard"])

Start = Callable[..., Member]


@pytest.fixture
def start(redis_server: RedisProcess, tmp_path: Path) -> Iterator[Start]:
    """Starts members of group ``g`` in processes of their own: a name and a pattern."""
    with ExitStack() as stack:

        def start_one(name: str, pattern: str, **settings: bool | float) -> Member:
            journal = tmp_path / f"{name}.journal"
            member = Member(redis_server.url, pattern, "g", journal, ack_timeout=ACK_TIMEOUT, **settings)  # type: ignore[arg-type]
            return stack.enter_context(member)

        yield start_one


@pytest.fixture
async def transport(clients: Clients) -> RedisTransport:
    """A client of the server."""
    return await clients.open()


async def publish_all(transport: RedisTransport, subject: str, account: Account, count: int) -> None:
    """Publish, and keep the books."""
    for number in range(count):
        id = new_ulid()
        account.attempted.add(id)
        with suppress(TransportUnavailableError):
            await transport.publish(subject, b"%d" % number, id=id)
            account.acknowledged.add(id)


@PATTERNS
async def test_a_member_that_is_killed_leaves_its_messages_to_others(
    transport: RedisTransport, start: Start, pattern: str
) -> None:
    """Those in its hands and those it had fetched ahead; nothing is published meanwhile that would wake anybody."""
    root = await new_root(transport)
    account = Account(ACK_TIMEOUT)
    dying = await asyncio.to_thread(start, "dying", f"{root}.{pattern}", holds=0, concurrency=3)
    await publish_all(transport, f"{root}.x", account, 30)
    await eventually(lambda: len(dying.handed()) == 3, "messages in hand")
    dying.kill()
    heir = await asyncio.to_thread(start, "heir", f"{root}.{pattern}")
    await eventually(lambda: set(heir.ended()) == account.attempted, "all messages to come to the other")
    heir.leave()
    account.read_journal(dying.journal)
    account.read_journal(heir.journal)
    assert account.is_sound, account.report()
    assert {attempts[0] for id, attempts in heir.attempts().items() if id in dying.handed()} == {2}
    assert set(heir.handed()) == account.attempted
    assert not [id for id, attempts in heir.attempts().items() if len(attempts) > 1]


async def test_a_message_read_just_after_a_look_comes_back_in_time(
    clients: Clients, transport: RedisTransport, start: Start
) -> None:
    """A wildcard's subject was found to have nothing unanswered; a member then takes a message there, and is killed."""
    root = await new_root(transport)
    account = Account(ACK_TIMEOUT)
    dying = await asyncio.to_thread(start, "dying", f"{root}.*", holds=5, concurrency=1)
    await publish_all(transport, f"{root}.x", account, 5)
    await eventually(lambda: len(dying.ended()) == 5, "the first messages")
    other = await clients.open()
    async with other.consume(f"{root}.*", "g", replace(OPTIONS, ack_timeout=ACK_TIMEOUT, batch_size=1)) as heir:
        working = asyncio.create_task(_work(heir, account, "heir"))
        await publish_all(transport, f"{root}.x", account, 1)  # whoever takes it: both know the subject now
        await asyncio.sleep(2 * ACK_TIMEOUT)  # somebody has looked, and seen that all is answered
        while len(dying.handed()) < 6:
            await publish_all(transport, f"{root}.x", account, 5)
            await asyncio.sleep(0.05)
        dying.kill()
        ended = set(dying.ended())
        await eventually(lambda: account.ended | ended >= account.attempted, "what it held", within=10.0)
        working.cancel()


async def test_a_look_that_finds_nothing_does_not_put_off_the_next_too_far(transport: RedisTransport) -> None:
    """The same without processes: a mark serves for some seconds, in which others look at its subject."""
    reading, looking = (Inflight(transport._client, "g", ACK_TIMEOUT) for _ in range(2))
    await reading.mark(["x"])

    async def is_due() -> bool:
        return "x" in await looking.due()

    for _ in range(2):
        await eventually(is_due, "a look", within=10.0)
        await looking.done("x")
        await reading.mark(["x"])  # it reads, and its mark still serves


@PATTERNS
async def test_a_member_that_froze_finds_its_messages_gone(
    transport: RedisTransport, start: Start, pattern: str
) -> None:
    """Its messages went to another; its late refusals take nothing from there, and it works on like any other."""
    root = await new_root(transport)
    account = Account(ACK_TIMEOUT)
    frozen = await asyncio.to_thread(start, "frozen", f"{root}.{pattern}", holds=0, concurrency=5)
    await publish_all(transport, f"{root}.x", account, 5)
    await eventually(lambda: len(frozen.handed()) == 5, "messages in hand")
    frozen.freeze()
    helper = await asyncio.to_thread(start, "helper", f"{root}.{pattern}", work=0.8 * ACK_TIMEOUT)
    await eventually(lambda: len(helper.handed()) == 5, "the messages in other hands")
    frozen.thaw()
    frozen.order("nak")
    await eventually(lambda: len(helper.ended()) == 5, "the other to end them")
    assert set(helper.ended()) == account.attempted
    await eventually(lambda: _is_idle(transport, f"{root}.{pattern}"), "nothing to be left")
    assert list(helper.attempts().values()) == [[2]] * 5
    assert list(frozen.attempts().values()) == [[1]] * 5
    helper.kill()
    await publish_all(transport, f"{root}.x", account, 1)
    await eventually(lambda: len(frozen.handed()) == 6, "the next message")


@PATTERNS
async def test_nothing_is_lost_while_members_freeze_and_die(
    transport: RedisTransport, start: Start, pattern: str
) -> None:
    """Under load: one is frozen past the ack timeout and thawed, another killed."""
    root = await new_root(transport)
    account = Account(ACK_TIMEOUT)
    names = ("frozen", "killed", "staying")
    members = {name: await asyncio.to_thread(start, name, f"{root}.{pattern}", work=0.01) for name in names}
    publishing = [asyncio.create_task(publish_all(transport, f"{root}.x", account, 100)) for _ in range(15)]
    await eventually(lambda: all(len(member.ended()) > 20 for member in members.values()), "all to have a part")
    with account.disturbance():  # answers that they have given and not sent yet included
        members["frozen"].freeze()
        members["killed"].kill()
        await asyncio.gather(*publishing)
        await asyncio.sleep(2 * ACK_TIMEOUT)
        members["frozen"].thaw()
    await eventually(
        lambda: {id for member in members.values() for id in member.ended()} >= account.acknowledged, "the rest"
    )
    for name in ("frozen", "staying"):
        members[name].leave()
    for member in members.values():
        account.read_journal(member.journal)
    assert account.is_sound, account.report()


async def test_two_processes_are_restarted_in_turn(transport: RedisTransport, start: Start) -> None:
    """As an upgrade does it: each leaves in peace and comes back, while messages flow; none comes twice."""
    root = await new_root(transport)
    account = Account(ACK_TIMEOUT)
    running = {name: await asyncio.to_thread(start, f"{name}0", f"{root}.*", work=0.002) for name in "ab"}
    journals = [member.journal for member in running.values()]
    publishing = [asyncio.create_task(_publish_slowly(transport, f"{root}.s{n}", account, 60)) for n in range(5)]
    for turn in (1, 2):
        for name, member in list(running.items()):
            await asyncio.to_thread(member.leave)
            running[name] = await asyncio.to_thread(start, f"{name}{turn}", f"{root}.*", work=0.002)
            journals.append(running[name].journal)
    await asyncio.gather(*publishing)
    await eventually(lambda: _is_idle(transport, f"{root}.*"), "all consumed")
    for member in running.values():
        await asyncio.to_thread(member.leave)
    for journal in journals:
        if journal.exists():
            account.read_journal(journal)
    assert account.is_sound, account.report()
    assert account.lost == set()


async def _publish_slowly(transport: RedisTransport, subject: str, account: Account, count: int) -> None:
    for _ in range(count):
        await publish_all(transport, subject, account, 1)
        await asyncio.sleep(0.03)


async def _is_idle(transport: RedisTransport, pattern: str) -> bool:
    lag = await transport.lag(pattern, "g")
    return lag.pending + lag.unacknowledged == 0


# -- groups of which the members and the subjects come and go


async def test_subjects_appear_while_members_come_and_go(clients: Clients, transport: RedisTransport) -> None:
    """Every message of every subject is handed to somebody, once while nobody fails to answer."""
    root = await new_root(transport)
    account = Account(10.0)
    nodes = [await clients.open() for _ in range(3)]
    options = replace(OPTIONS, ack_timeout=10.0)
    async with transport.consume(f"{root}.>", "g", options):
        pass
    stopping = asyncio.Event()

    async def come_and_go(node: RedisTransport, name: str) -> None:
        while not stopping.is_set():
            async with node.consume(f"{root}.>", "g", options) as member:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await _work(member, account, name)

    async def publish(number: int) -> None:
        for turn in range(20):
            await publish_all(transport, f"{root}.s{number}.t{turn}", account, 3)

    working = [asyncio.create_task(come_and_go(node, f"member {number}")) for number, node in enumerate(nodes)]
    await asyncio.gather(*(publish(number) for number in range(10)))
    await eventually(lambda: account.ended >= account.acknowledged, "all consumed")
    stopping.set()
    await asyncio.gather(*working)
    assert account.is_sound, account.report()
    assert len(account.acknowledged) == 600
    assert sum(account.duplicates().values()) == 0


async def _work(member: Consumption, account: Account, name: str) -> None:
    async for delivery in member:
        handling = account.handed(delivery, name)
        await delivery.ack()
        handling.ended = handling.at


@PATTERNS
@pytest.mark.parametrize("way", ["unread", "handler", "drained"])
async def test_what_the_last_member_returned_is_there_for_the_next(
    clients: Clients, transport: RedisTransport, pattern: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was left to be woken by it; who joins does not wait for the ack timeout of those before."""
    root = await new_root(transport)
    options = replace(OPTIONS, ack_timeout=60.0)
    ids = {await transport.publish(f"{root}.s{number}" if pattern == "*" else f"{root}.x", b"") for number in range(4)}
    leaving = await clients.open()
    async with leaving.consume(f"{root}.{pattern}", "g", options) as member:
        if way == "unread":
            await eventually(lambda: _all_fetched(transport, f"{root}.{pattern}"), "messages ahead")
        elif way == "handler":
            running = asyncio.create_task(member.run(_never, concurrency=4))
            await eventually(lambda: _all_fetched(transport, f"{root}.{pattern}"), "messages in hand")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        else:
            await take(aiter(member), 4)
            monkeypatch.setattr(draining, "DRAIN_TIMEOUT", 0.3)
            closing = asyncio.create_task(leaving.close())
            await asyncio.sleep(0)
    if way == "drained":
        await closing
    async with transport.consume(f"{root}.{pattern}", "g", options) as member:
        seen = await take(aiter(member), 4, within=10.0)
        assert {delivery.envelope.id for delivery in seen} == ids


async def _never(delivery: Delivery) -> None:
    await asyncio.Event().wait()


async def _all_fetched(transport: RedisTransport, pattern: str) -> bool:
    return (await transport.lag(pattern, "g")).pending == 0


@PATTERNS
async def test_members_that_found_a_group_together_share_it(
    clients: Clients, transport: RedisTransport, pattern: str
) -> None:
    """Ten at once, on a subject that has messages and is being published to: each message comes to one, from one on."""
    root = await new_root(transport)
    subject = f"{root}.x"
    for number in range(20):
        await transport.publish(subject, b"early %d" % number)
    nodes = [await clients.open() for _ in range(5)]
    members = [node.consume(f"{root}.{pattern}", "g", OPTIONS) for node in nodes for _ in range(2)]
    publishing = asyncio.create_task(_publish_numbered(transport, subject, 100))
    await asyncio.gather(*(member.__aenter__() for member in members))
    counts: Counter[bytes] = Counter()

    async def work(member: Consumption) -> None:
        async for delivery in member:
            counts[delivery.envelope.payload] += 1
            await delivery.ack()

    working = [asyncio.create_task(work(member)) for member in members]
    await publishing
    await eventually(lambda: len(counts) == 120, "all messages")
    await eventually(lambda: _is_idle(transport, f"{root}.{pattern}"), "all acknowledged")
    assert set(counts.values()) == {1}
    await asyncio.gather(*(member.__aexit__(None, None, None) for member in members))
    await asyncio.gather(*working)


async def _publish_numbered(transport: RedisTransport, subject: str, count: int) -> None:
    for number in range(count):
        await transport.publish(subject, b"%d" % number)


@PATTERNS
async def test_a_group_of_the_latest_misses_nothing_once_it_stands(
    clients: Clients, transport: RedisTransport, pattern: str
) -> None:
    """Founded in the middle of traffic: from the first message published after entering on, all is consumed."""
    root = await new_root(transport)
    publisher = await clients.open()
    for round_ in range(5):
        noise = [asyncio.create_task(_publish_numbered(publisher, f"{root}.x", 100)) for _ in range(3)]
        options = replace(OPTIONS, start=LATEST, max_inflight=1000, batch_size=100)
        async with transport.consume(f"{root}.{pattern}", f"g{round_}", options) as member:
            wanted = [await publisher.publish(f"{root}.x", b"wanted") for _ in range(5)]
            if pattern == "*":
                wanted.append(await publisher.publish(f"{root}.new{round_}", b"wanted"))
            seen: list[Delivery] = []
            async with asyncio.timeout(20.0):
                async for delivery in member:
                    await delivery.ack()
                    seen.append(delivery)
                    if {one.envelope.id for one in seen} >= set(wanted):
                        break
        await asyncio.gather(*noise)


async def test_trimming_races_with_publishing_and_consuming(clients: Clients, transport: RedisTransport) -> None:
    """Trimmed all the time, up to the future: what is not acknowledged stays, what is goes."""
    root = await new_root(transport)
    account = Account(10.0)
    trimmer, consumer = await clients.open(), await clients.open()
    subjects = [f"{root}.s{number}" for number in range(4)]
    removed = 0
    stopping = asyncio.Event()

    async def trim() -> None:
        nonlocal removed
        while not stopping.is_set():
            for subject in subjects:
                removed += await trimmer.trim(subject, (1 << 47))
            await asyncio.sleep(0)

    options = replace(OPTIONS, ack_timeout=10.0)
    async with consumer.consume(f"{root}.*", "g", options) as one, consumer.consume(subjects[0], "literal", options):
        working = asyncio.create_task(_work(one, account, "one"))
        trimming = asyncio.create_task(trim())
        await asyncio.gather(*(publish_all(transport, subject, account, 150) for subject in subjects))
        await eventually(lambda: account.ended >= account.acknowledged, "all consumed")
        stopping.set()
        await trimming
        working.cancel()
    assert account.is_sound, account.report()
    await consumer._answered()
    removed += sum([await trimmer.trim(subject, 1 << 47) for subject in subjects])
    assert removed == 3 * 150
    assert len(await transport.read(subjects[0])) == 150  # the literal group has read nothing of it
    assert (await transport.lag(subjects[0], "literal")).pending + (
        await transport.lag(subjects[0], "literal")
    ).unacknowledged == 150
