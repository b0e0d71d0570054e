"""Lua scripts for the server: each touches one slot, and the server is told so by the ``#!lua`` line, without which a
single node would let a key of another slot pass that a cluster refuses."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest under which the server caches it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.source.startswith("#!lua"):
            raise ValueError("a script begins with #!lua")
        # the protocol's name for a script, no protection of anything
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


def script(body: str, *, writes: bool = True, without_room: bool = False) -> Script:
    """A script with its first line.

    Args:
        writes: one that writes nothing may run where writes are refused.
        without_room: it may run when the server's memory is used up: it makes room, or takes next to none.
    """
    flags = " flags=no-writes" if not writes else " flags=allow-oom" if without_room else ""
    return Script(f"#!lua{flags}\n{body.strip()}\n")
