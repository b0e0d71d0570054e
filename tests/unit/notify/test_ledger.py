"""What visitors have used is counted alike in one process and in several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.notify.ledger import Bucket, Ledger, LocalLedger, SharedLedger

Make = Callable[[], Ledger]
HOUR = 3600.0  # so slow a refill that none falls into a test


@pytest.fixture(params=["local", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A fresh ledger of either kind at each call."""

    def shared() -> Ledger:
        path = tmp_path / uuid4().hex
        SharedLedger.create(path, workers=2)
        return SharedLedger(path, worker=0, workers=2)

    return LocalLedger if request.param == "local" else shared


def test_a_bucket_has_as_many_requests_as_its_burst(make: Make) -> None:
    """The one after the last is refused, and costs nothing."""
    ledger = make()
    granted = [ledger.take("a", Bucket.REQUESTS, burst=3, replenish=HOUR) for _ in range(5)]
    assert granted == [True, True, True, False, False]


@pytest.mark.parametrize("bucket", Bucket)
def test_what_is_left_is_known_and_what_is_given_back_is_there_again(make: Make, bucket: Bucket) -> None:
    ledger = make()

    def left() -> int:
        return ledger.left("a", bucket, burst=3, replenish=HOUR)

    seen = [left()]
    for _ in range(4):
        ledger.take("a", bucket, burst=3, replenish=HOUR)
        seen.append(left())
    assert seen == [3, 2, 1, 0, 0]
    ledger.give_back("a", bucket, replenish=HOUR)
    assert left() == 1
    ledger.give_back("b", bucket, replenish=HOUR)  # who is not known has nothing to get back
    assert ledger.left("b", bucket, burst=3, replenish=HOUR) == 3


def test_visitors_do_not_share_a_bucket(make: Make) -> None:
    ledger = make()
    assert ledger.take("a", Bucket.REQUESTS, burst=1, replenish=HOUR)
    assert ledger.take("b", Bucket.REQUESTS, burst=1, replenish=HOUR)
    assert not ledger.take("a", Bucket.REQUESTS, burst=1, replenish=HOUR)


def test_a_new_day_brings_new_messages(make: Make) -> None:
    ledger = make()
    assert [ledger.take_message("a", day=1, limit=2) for _ in range(3)] == [True, True, False]
    assert ledger.take_message("a", day=2, limit=2)


def test_a_closed_stream_frees_its_place(make: Make) -> None:
    ledger = make()
    assert [ledger.open_stream("a", limit=2) for _ in range(3)] == [True, True, False]
    ledger.close_stream("a")
    assert ledger.open_stream("a", limit=2)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["request", "message", "open", "close"])), max_size=60)
)
def test_both_kinds_decide_alike(steps: list[tuple[str, str]]) -> None:
    """Whatever a visitor does, the shared ledger grants what the local one grants."""
    with shared_ledger() as shared:
        ledgers: tuple[Ledger, Ledger] = (LocalLedger(), shared)
        streams = dict.fromkeys("abc", 0)
        for key, step in steps:
            if step == "close" and not streams[key]:
                continue
            first, second = (apply(ledger, key, step) for ledger in ledgers)
            assert first == second
            streams[key] += {"open": int(first), "close": -1}.get(step, 0)


def apply(ledger: Ledger, key: str, step: str) -> bool:
    if step == "request":
        return ledger.take(key, Bucket.REQUESTS, burst=4, replenish=HOUR)
    if step == "message":
        return ledger.take_message(key, day=7, limit=4)
    if step == "open":
        return ledger.open_stream(key, limit=3)
    ledger.close_stream(key)
    return True


@contextmanager
def shared_ledger() -> Iterator[SharedLedger]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        SharedLedger.create(path, workers=1)
        yield SharedLedger(path, worker=0, workers=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table for two workers."""
    SharedLedger.create(tmp_path / "ledger", workers=2)
    return tmp_path / "ledger"


def test_workers_count_together(table: Path) -> None:
    """A visitor whose requests meet different workers has one bucket all the same."""
    first, second = (SharedLedger(table, worker=number, workers=2) for number in range(2))
    assert first.take("a", Bucket.REQUESTS, burst=2, replenish=HOUR)
    assert second.take("a", Bucket.REQUESTS, burst=2, replenish=HOUR)
    assert not first.take("a", Bucket.REQUESTS, burst=2, replenish=HOUR)
    assert first.open_stream("a", limit=2)
    assert second.open_stream("a", limit=2)
    assert not first.open_stream("a", limit=2)


def test_the_streams_of_a_dead_worker_are_struck_out(table: Path) -> None:
    """Its successor has its number, and begins with none."""
    survivor, dead = (SharedLedger(table, worker=number, workers=2) for number in range(2))
    assert survivor.open_stream("a", limit=2)
    assert dead.open_stream("a", limit=2)
    assert not survivor.open_stream("a", limit=2)

    SharedLedger(table, worker=1, workers=2)

    assert survivor.open_stream("a", limit=2)


def test_the_local_ledger_forgets_who_was_idle_for_longest() -> None:
    ledger = LocalLedger(size=2)
    for key in ("a", "b", "c"):
        assert ledger.take(key, Bucket.REQUESTS, burst=1, replenish=HOUR)
    assert len(ledger) == 2
    assert not ledger.take("c", Bucket.REQUESTS, burst=1, replenish=HOUR)
    assert ledger.take("a", Bucket.REQUESTS, burst=1, replenish=HOUR), "the oldest begins anew"


def test_more_visitors_than_neighbouring_slots_still_find_a_place(table: Path) -> None:
    """The table is bounded; crowding it loses counts, never the server."""
    ledger = SharedLedger(table, worker=0, workers=2)
    for number in range(2000):
        assert ledger.take(f"visitor {number}", Bucket.REQUESTS, burst=1, replenish=HOUR)
    refused = sum(
        not ledger.take(f"visitor {number}", Bucket.REQUESTS, burst=1, replenish=HOUR) for number in range(2000)
    )
    assert refused > 1900
