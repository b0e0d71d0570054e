"""What can go wrong between gbe and a Redis server, in the words of this package; each caller has words of its own."""

from typing import Final

from hiredis import ReplyError


class RedisFailedError(Exception):
    """Base of what this package raises; the rooms above turn it into their own errors."""


class RedisUnavailableError(RedisFailedError):
    """No answer before the deadline. ``maybe_done``: the command was sent, so it may have been carried out."""

    def __init__(self, reason: str, *, maybe_done: bool) -> None:
        self.maybe_done = maybe_done
        super().__init__(reason)


class RedisRefusedError(RedisFailedError):
    """The server will not do this, now or later: wrong credentials, a missing permission, an old version."""


class RedisFullError(RedisFailedError):
    """The server has no room (``OOM``), or cannot write its disk (``MISCONF``)."""


class RedisClosedError(RedisFailedError):
    """The client was closed."""


class LinkLostError(Exception):
    """A connection ended while a command was waiting for its answer, or before it was sent; stays inside."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(reason)


# The first word of an error reply. These pass by themselves, or with a look at the cluster: the next try may succeed.
PASSING: Final = frozenset(
    {"TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY", "UNBLOCKED", "BUSY", "NOREPLICAS"}
)
SCRIPT_MET_MIGRATION: Final = "attempted to access a non local key"
"""What a script says that met a key of its slot on its way to another node. A script that writes must have named a key
that does not exist yet, so that the server refuses it (``TRYAGAIN``) before it has begun."""
PASSING_AFTER_REFRESH: Final = frozenset({"CLUSTERDOWN", "READONLY", "MASTERDOWN"})
FULL: Final = frozenset({"OOM", "MISCONF"})
REFUSED: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "NOPROTO"})


def code_of(error: ReplyError) -> str:
    """The first word of an error reply, such as ``MOVED``."""
    return str(error).partition(" ")[0]


def described(error: BaseException) -> str:
    """An error's text, or its name when it has none."""
    return str(error) or type(error).__name__
