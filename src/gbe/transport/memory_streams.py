"""One stream of the memory transport: its messages in order, what it keeps of them, and which keys it remembers."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gbe.envelope import Envelope
from gbe.subjects import matches, overlaps
from gbe.transport.base import Position, StoredMessage, StreamConfig, StreamFigures

_MESSAGE_OVERHEAD: Final = 64  # bytes that a stored message takes besides subject and payload, roughly


@dataclass(slots=True, eq=False)
class Entry:
    """One stored message."""

    envelope: Envelope
    sequence: int
    stored_ms: int
    is_gone: bool = False  # removed by retention or by trim; who still points here looks

    @property
    def size(self) -> int:
        return len(self.envelope.payload) + len(self.envelope.subject) + _MESSAGE_OVERHEAD

    def message(self) -> StoredMessage:
        return StoredMessage(self.envelope, Position(self.sequence))


class Stream:
    """One stream: its messages in order, an index by subject, and the keys it remembers."""

    def __init__(self, config: StreamConfig) -> None:
        self.config = config
        self.log: list[Entry] = []
        self._by_subject: dict[str, list[Entry]] = {}
        self._bytes = 0
        self._keys: OrderedDict[str, tuple[str, float]] = OrderedDict()  # → first id, when it is forgotten

    def stores(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.config.subjects)

    def overlaps(self, pattern: str) -> bool:
        return any(overlaps(own, pattern) for own in self.config.subjects)

    def of_subject(self, subject: str) -> list[Entry]:
        return self._by_subject.get(subject, [])

    def subjects(self) -> list[str]:
        """Those that have messages."""
        return list(self._by_subject)

    def figures(self) -> StreamFigures:
        """See ``Transport.stream_figures``."""
        return StreamFigures(len(self.log), self._bytes, self.log[0].stored_ms if self.log else None)

    def add(self, entry: Entry) -> None:
        self.log.append(entry)
        self._by_subject.setdefault(entry.envelope.subject, []).append(entry)
        self._bytes += entry.size

    def retain(self, now_ms: int) -> None:
        """Drop what the configuration no longer keeps."""
        config, count, size = self.config, 0, self._bytes
        oldest = now_ms - config.max_age * 1000 if config.max_age is not None else 0
        for entry in self.log:
            too_many = config.max_msgs is not None and len(self.log) - count > config.max_msgs
            too_large = config.max_bytes is not None and size > config.max_bytes
            if not (too_many or too_large or entry.stored_ms <= oldest):
                break
            count, size = count + 1, size - entry.size
        if count:
            self.remove(self.log[:count])

    def remove(self, entries: Sequence[Entry]) -> None:
        """Forget messages."""
        for entry in entries:
            entry.is_gone = True
            self._bytes -= entry.size
        self.log = [entry for entry in self.log if not entry.is_gone]
        for subject in {entry.envelope.subject for entry in entries}:
            left = [entry for entry in self._by_subject[subject] if not entry.is_gone]
            if left:
                self._by_subject[subject] = left
            else:
                del self._by_subject[subject]

    def first_id(self, keys: Sequence[str], now: float) -> str | None:
        """The id that was first published with any of these keys inside the window."""
        while self._keys and next(iter(self._keys.values()))[1] <= now:
            self._keys.popitem(last=False)
        return next((self._keys[key][0] for key in keys if key in self._keys), None)

    def remember(self, keys: Sequence[str], id: str, now: float) -> None:
        for key in keys:
            self._keys[key] = id, now + self.config.dedup_window
