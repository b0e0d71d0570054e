"""Runs: which deliveries of a member follow on one another without a gap.

A back end numbers the deliveries of a source (a stream on NATS, a subject on Redis) so that two neighbours differ by
one only if nothing lies between them, and asks here on handing over. What a member drops, or somebody else has had,
leaves a hole in the numbers, and ends the run.
"""

from gbe.transport.base import Position

_JUMP = 1 << 48
"""Between the numbers of two runs: no count of an engine bridges it."""


class Run:
    """What a member was handed from one source without a gap, up to now."""

    __slots__ = ("_last", "_since", "base")

    def __init__(self) -> None:
        self.base = 0
        self._last = -1
        self._since: Position | None = None

    def break_off(self) -> None:
        """What arrives from now on, numbered from ``base``, is not known to follow on what came before."""
        self.base += _JUMP

    def follow(self, number: int, position: Position, *, is_first: bool, count: int = 1) -> Position:
        """The next delivery is handed over; returns the position since which there is no gap.

        Args:
            number: ``base``, as it was when the delivery arrived, and the delivery's own.
            position: of its message.
            is_first: whether the group was never handed this message before. Only those come in stream order.
            count: how many are handed over at once, numbered on from ``number``; ``position`` is the first one's.
        """
        if number != self._last + 1:
            self._since = None
        self._last = number + count - 1
        if is_first and self._since is None:
            self._since = position
        return position if self._since is None else min(self._since, position)
