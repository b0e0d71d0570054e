"""What the archiver holds: every message once, and nothing is taken to be the next one that may not be it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gbe.archive.progress import Point
from gbe.archive.waiting import Room, Waiting
from gbe.envelope import Envelope
from gbe.ids import new_ulid
from gbe.transport.base import Parcel, Position

SUBJECT = "gbe.events.audit.change"


class Handed(Parcel):
    """A parcel of nobody: it goes nowhere when it is answered."""

    __slots__ = ()

    def _part(self, numbers: Sequence[int], since: Position) -> Parcel | None:
        if not numbers:
            return None
        return Handed(self.subject, [self.positions[n] for n in numbers], [self.envelopes[n] for n in numbers], since)

    async def ack(self) -> None: ...

    async def nak(self) -> None: ...

    async def in_progress(self) -> None: ...


def parcel(numbers: Sequence[int], since: int) -> Handed:
    positions = [Position(number) for number in numbers]
    envelopes = [Envelope(new_ulid(), SUBJECT, 1_790_000_000_000 + n, b"m" * (n % 7)) for n in numbers]
    return Handed(SUBJECT, positions, envelopes, Position(since))


Step = tuple[str, int, int]
KINDS = ["next", "next", "next", "lost", "again", "archived"]
steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(1, 9), st.integers(0)),
    max_size=40,
)


@given(steps, st.sampled_from([0, 20, 1_000_000]), st.integers(1, 30))
def test_what_is_held_is_what_came_and_what_follows_is_what_the_stream_has(
    events: list[Step], room_bytes: int, most: int
) -> None:
    """Parcels that follow on one another, holes that another member has, and messages that come again."""
    room = Room(room_bytes)
    waiting = Waiting(SUBJECT, room, point=Point())
    newest, since, archived = 0, 1, 0
    held: set[int] = set()
    for kind, size, chance in events:
        if kind == "next":
            new = range(newest + 1, newest + size + 1)
            waiting.hold(parcel(new, since), 1.0)
            held.update(new)
            newest += size
        elif kind == "lost":  # they are another member's
            newest += size
            since = newest + 1
        elif kind == "again" and held:
            some = sorted(held)[chance % len(held) :][:: 1 + chance % 3][:size]
            waiting.hold(parcel(some, some[-1]), 2.0)
        elif kind == "archived":
            archived = min(newest, archived + size)
            waiting.point = Point(position=Position(archived))
            taken = [position.major for one in waiting.take_archived() for position in one.positions]
            assert sorted(taken) == sorted(one for one in held if one <= archived)
            held = {one for one in held if one > archived}
        _is_accounted_for(waiting, held, room_bytes)
        following = [one.position.major for one in waiting.following(Position(archived), most)]
        assert following in ([], list(range(archived + 1, archived + 1 + min(most, len(following)))))
        assert set(following) <= held


def _is_accounted_for(waiting: Waiting, held: set[int], room_bytes: int) -> None:
    positions = [position.major for one in waiting.held for position in one.parcel.positions]
    assert sorted(positions) == sorted(held)
    assert (waiting.count, waiting.room.messages) == (len(held), len(held))
    kept = sum(len(envelope.payload) for one in waiting.held for envelope in one.parcel.envelopes)
    assert waiting.room.left == room_bytes - kept >= 0
    firsts = [one.first for one in waiting.held]
    assert firsts == sorted(firsts)


def test_all_that_came_without_a_hole_follows() -> None:
    """Over the borders of parcels, and from the middle of one."""
    waiting = Waiting(SUBJECT, Room(1000))
    for begin in (1, 5, 9):
        waiting.hold(parcel(range(begin, begin + 4), 1), 1.0)
    assert [one.position.major for one in waiting.following(Position(2), 8)] == list(range(3, 11))
    assert [one.position.major for one in waiting.following(Position(2), 80)] == list(range(3, 13))
    assert not waiting.following(Position(0), 80)


def test_what_lies_behind_a_position_is_dropped_and_the_rest_stays() -> None:
    """Also where that is in the middle of a parcel."""
    waiting = Waiting(SUBJECT, Room(1000))
    for begin in (1, 5):
        waiting.hold(parcel(range(begin, begin + 4), 1), 1.0)
    assert waiting.count_behind(Position(6)) == 2
    dropped = [position.major for one in waiting.drop_behind(Position(6)) for position in one.positions]
    assert (dropped, waiting.count) == ([7, 8], 6)
    assert [one.first.major for one in waiting.drop_all()] == [1, 5]
    assert (waiting.count, waiting.room.messages, waiting.room.left) == (0, 0, 1000)
