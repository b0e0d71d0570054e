"""The names of everything that the transport keeps in Redis (docs/redis.md).

A subject's stream is the subject with ``:`` for ``.``; what belongs to it has the stream's name in braces, so that it
lies in the same hash slot. What belongs to no single subject begins with ``{gbe/``: no token of a subject has a slash.
"""

import binascii
from functools import lru_cache
from typing import Final

from gbe.redis.topology import slot_of

BUCKETS: Final = 8
"""Over how many slots, and so nodes, the index of one stream's subjects is spread."""

STREAMS: Final = b"{gbe/streams}"
"""Hash: name of a stream → its configuration. Also the channel on which changes are announced."""


class SubjectKeys:
    """The keys of one subject."""

    __slots__ = ("bucket", "mark", "slot", "stream", "subject", "wake")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.stream = subject.replace(".", ":").encode()
        """Stream: the messages."""
        self.wake = self.companion(b"wake")
        """Sharded channel: something was stored here, or comes back; see ``wire``."""
        self.slot = slot_of(self.stream)
        checksum = binascii.crc32(self.stream)
        self.bucket = checksum % BUCKETS
        self.mark = checksum % 1_000_000
        """Six digits in the entry ids of this subject: so that no two subjects have the same ones."""

    @property
    def delayed(self) -> bytes:
        """Sorted set: ids of delayed messages by the unix ms at which they are due."""
        return self.companion(b"delayed")

    @property
    def later(self) -> bytes:
        """Hash: id → delayed message."""
        return self.companion(b"later")

    def companion(self, name: bytes) -> bytes:
        """A key in the stream's own slot."""
        return b"{%b}:%b" % (self.stream, name)

    def dedup(self, kind: str, key: str) -> bytes:
        """String: the id that was first published with this id (``i``) or idempotency key (``k``)."""
        return self.companion(f"seen:{kind}:{key}".encode())

    def dedup_records(self, id: str, idempotency_key: str | None) -> list[bytes]:
        """What is remembered of a publish: by its id, and by its key if it has one.

        With a key, the id is remembered together with it: the key alone decides, and what stands beside it tells a
        repetition of this very message from another one with its key.
        """
        if idempotency_key is None:
            return [self.dedup("i", id)]
        return [self.dedup("i", f"{id} {idempotency_key}"), self.dedup("k", idempotency_key)]

    def waiting(self, group: str) -> bytes:
        """Sorted set: what a group has refused, by the unix ms from which it may come back."""
        return self.companion(b"waiting:" + group.encode())


@lru_cache(maxsize=65_536)
def keys_of(subject: str) -> SubjectKeys:
    """The keys of a subject; raises nothing, the subject is taken to be valid."""
    return SubjectKeys(subject)


def subject_of(stream_key: bytes) -> str:
    """The subject whose stream has this key."""
    return stream_key.decode().replace(":", ".")


def subjects_index(stream: str, bucket: int) -> bytes:
    """Sorted set: the subjects of a stream by the unix ms of their last use. Also the channel that names new ones."""
    return f"{{gbe/subjects/{stream}/{bucket}}}".encode()


def unstored_channel(stream: str, bucket: int) -> bytes:
    """Sharded channel: what is published there and not stored, for those who follow a pattern."""
    return f"{{gbe/subjects/{stream}/{bucket}}}:unstored".encode()


def delays_index(bucket: int) -> bytes:
    """Sorted set: subjects with delayed messages, by the unix ms of the first."""
    return f"{{gbe/delays/{bucket}}}".encode()


def delays_versions(bucket: int) -> bytes:
    """Hash: the same subjects → what changes with each message that is planned."""
    return f"{{gbe/delays/{bucket}}}:versions".encode()


def groups_index(stream: str) -> bytes:
    """Hash: the subscriptions to subjects of a stream, ``group@pattern`` → where it began."""
    return f"{{gbe/groups/{stream}}}".encode()


def inflight_index(group: str) -> bytes:
    """Sorted set: subjects where a group that follows a pattern may have unanswered messages, by when to look."""
    return f"{{gbe/inflight/{group}}}".encode()


def inflight_marks(group: str) -> bytes:
    """Hash: the same subjects → unix ms of the last reading."""
    return f"{{gbe/inflight/{group}}}:marks".encode()


def ledger(stream: str) -> bytes:
    """Sorted set: every message of a stream with ``max_msgs`` or ``max_bytes``, sorted by name and so by its place."""
    return f"{{gbe/ledger/{stream}}}".encode()


def ledger_bytes(stream: str) -> bytes:
    """String: the bytes that these take together."""
    return f"{{gbe/ledger/{stream}}}:bytes".encode()


def group_name(group: str, pattern: str, *, literal: bool) -> str:
    """The consumer group of a subscription in each of its streams: the group itself, or ``group@pattern``."""
    return group if literal else f"{group}@{pattern}"
