"""A deployment as somebody reaches it who dies, or loses an answer, at a chosen write."""

import asyncio
from collections.abc import Callable
from typing import Any

from gbe.errors import StateUnavailableError, TransportUnavailableError
from gbe.state.base import Changes, Expected, Ttl
from gbe.tasks.backend import Backend


class Died(BaseException):
    """As kill -9 would: nothing after this moment happens."""


class Life:
    """So many writes: the last one is stored, and nothing that follows it happens.

    Args:
        writes: to the state store and to the transport together; ``None``: it does not end.
        loses_answer: it does not die at the last write; only the answer is lost, and it lives on.
    """

    def __init__(self, writes: int | None = None, *, loses_answer: bool = False) -> None:
        self.left, self.loses_answer = writes, loses_answer

    @property
    def is_over(self) -> bool:
        """Whether it has died."""
        return self.left == 0

    def check(self) -> None:
        """Raises if it is dead."""
        if self.is_over:
            raise Died

    def spend(self, lost: Exception) -> None:
        """One write is stored."""
        if self.left is None:
            return
        self.left -= 1
        if self.is_over and self.loses_answer:
            self.left = None
            raise lost
        self.check()


class _State:
    def __init__(self, inner: Any, life: Life, wrote: Callable[[str, Expected], None]) -> None:
        self._inner, self._life, self._wrote = inner, life, wrote

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def update_if(self, key: str, expected: Expected, changes: Changes, *, ttl: Ttl = None) -> bool:
        await asyncio.sleep(0)  # others have their turn, in the memory store too
        self._life.check()
        done: bool = await self._inner.update_if(key, expected, changes, ttl=ttl)
        if done:
            self._wrote(key, expected)
        self._life.spend(StateUnavailableError("the answer is lost"))
        return done


class _Transport:
    def __init__(self, inner: Any, life: Life) -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def publish(self, *words: Any, **options: Any) -> Any:
        self._life.check()
        receipt = await self._inner.publish(*words, **options)
        self._life.spend(TransportUnavailableError("the answer is lost"))
        return receipt


def mortal(
    backend: Backend, life: Life, wrote: Callable[[str, Expected], None] = lambda _key, _expected: None
) -> Backend:
    """The same deployment, for somebody with this life.

    Args:
        wrote: told of each conditional write that was stored.
    """
    state: Any = _State(backend.state, life, wrote)
    transport: Any = _Transport(backend.transport, life)
    return Backend(transport, state, backend.names, backend.claims, backend.clock)
