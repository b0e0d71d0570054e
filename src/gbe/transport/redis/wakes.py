"""Wake-ups: the subjects that somebody in this process follows, each with its channel.

A wake-up is a hint: the message is in the stream. One that was lost is made up for when the connection comes back, and
by asking the followers of single subjects to look for themselves now and then, in turn and so many a second at most.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from gbe.redis.channels import Channels
from gbe.transport.redis import keys

Wake = Callable[[str, bytes | None], None]
"""Called with a subject and what its channel said; ``None``: look for yourself."""

_MOST_LOOKS: Final = 200  # a second: what they cost does not grow with the number of subjects
_STEP: Final = 0.1


class Follower:
    """One follower of one subject."""

    __slots__ = ("confirmed", "subject", "told", "wake")

    def __init__(self, subject: str, wake: Wake) -> None:
        self.subject, self.wake = subject, wake
        self.confirmed: asyncio.Future[None]
        self.told = self._told  # one object, so that it can be taken off again

    def _told(self, message: bytes | None) -> None:
        self.wake(self.subject, message)


class Wakes:
    """The followers of this process."""

    def __init__(self, channels: Channels, poll_interval: float) -> None:
        self._channels, self._poll_interval = channels, poll_interval
        self._looking: dict[Follower, None] = {}
        self._task: asyncio.Task[None] | None = None

    def follow(self, subject: str, wake: Wake, *, looks: bool) -> Follower:
        """Tell ``wake`` of everything on a subject from the moment that ``confirmed`` of the follower is done.

        With ``looks`` it is also told to look for itself, once in each poll interval if few do.
        """
        follower = Follower(subject, wake)
        follower.confirmed = self._channels.add(keys.keys_of(subject).wake, follower.told).confirmed
        if looks:
            self._looking[follower] = None
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._look_round(), name="gbe.redis.looks")
        return follower

    def leave(self, follower: Follower) -> None:
        """Stop telling; safe to repeat."""
        self._channels.leave(keys.keys_of(follower.subject).wake, follower.told)
        self._looking.pop(follower, None)

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_round(self) -> None:
        while True:
            followers = list(self._looking)
            steps = max(1, round(self._poll_interval / _STEP))
            size = min(max(1, -(-len(followers) // steps)), round(_MOST_LOOKS * _STEP))
            began = asyncio.get_running_loop().time()
            for some in _batched(followers, size):
                for follower in some:
                    if follower in self._looking:
                        follower.wake(follower.subject, None)
                await asyncio.sleep(_STEP)
            await asyncio.sleep(max(0.0, began + self._poll_interval - asyncio.get_running_loop().time()))


def _batched(followers: list[Follower], size: int) -> "list[tuple[Follower, ...]]":
    return [tuple(followers[begin : begin + size]) for begin in range(0, len(followers), size)]
