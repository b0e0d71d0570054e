"""Messages in ntfy's cache database: the table ``messages``, whose columns have grown over 14 versions of the schema.

Columns are read by name, and one that an older version lacks has its default; so versions 2 to 14 are read alike.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from gbe.errors import ConfigError
from gbe.notify.moving.sqlite import columns, opened, schema_version, value
from gbe.notify.topics import is_topic_name
from gbe.schemas.notify import (
    MESSAGE,
    MESSAGE_CLEAR,
    MESSAGE_DELETE,
    SCHEMA_VERSION,
    Action,
    Attachment,
    Kind,
    Notification,
)

_EVENTS: Final[Mapping[str, Kind]] = {
    MESSAGE: MESSAGE,
    MESSAGE_CLEAR: MESSAGE_CLEAR,
    MESSAGE_DELETE: MESSAGE_DELETE,
}
_actions: Final = msgspec.json.Decoder(tuple[Action, ...])


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """A message with its topic.

    Attributes:
        waits: whether it was to be delivered later, and has not been.
    """

    topic: str
    notification: Notification
    waits: bool


class MessageFile:
    """What a cache database holds.

    Attributes:
        version: of its schema.
        messages: in the order in which they arrived.
        problems: what could not be read, and is left out.
    """

    def __init__(self, file: Path, *, keep: float) -> None:
        """Read it.

        Args:
            keep: seconds that a message is kept, for those whose file does not say when they expire.

        Raises:
            ConfigError: it is no such file.
        """
        self.problems: list[str] = []
        with opened(file) as connection:
            self.version = schema_version(connection)
            if not {"mid", "time", "topic", "message"} <= columns(connection, "messages"):
                raise ConfigError(f"{file} is not a message cache of ntfy: it has no table `messages` with ids")
            order = "id" if "id" in columns(connection, "messages") else "time"
            rows = connection.execute(f"SELECT * FROM messages ORDER BY {order}")  # noqa: S608 - one of two names
            self.messages = list(self._read(rows, keep))

    def _read(self, rows: sqlite3.Cursor, keep: float) -> Iterator[StoredNotification]:
        for row in rows:
            topic, event = str(row["topic"]), str(value(row, "event", MESSAGE))
            if not is_topic_name(topic) or event not in _EVENTS:
                odd = f"{event!r} is no kind known here" if is_topic_name(topic) else f"{topic!r} is no topic"
                self.problems.append(f"message {row['mid']!r} is left out: {odd}")
                continue
            try:
                notification = _notification(row, _EVENTS[event], keep)
            except (ValueError, msgspec.MsgspecError) as exc:
                self.problems.append(f"message {row['mid']!r} is left out: {exc}")
                continue
            yield StoredNotification(topic, notification, waits=not int(str(value(row, "published", 1))))


def _notification(row: sqlite3.Row, event: Kind, keep: float) -> Notification:
    time = int(row["time"])
    actions = str(value(row, "actions", ""))
    tags = str(value(row, "tags", ""))
    priority = int(str(value(row, "priority", 0)))
    if not 0 <= priority <= 5:
        raise ValueError(f"its priority is {priority}")
    return Notification(
        v=SCHEMA_VERSION,
        ts=time * 1000,
        id=str(row["mid"]),
        time=time,
        event=event,
        expires=int(str(value(row, "expires", 0))) or time + int(keep),
        sequence_id=_text(row, "sequence_id"),
        title=_text(row, "title"),
        message=_text(row, "message"),
        priority=priority or None,
        tags=tuple(tag for tag in tags.split(",") if tag),
        click=_text(row, "click"),
        icon=_text(row, "icon"),
        actions=_actions.decode(actions) if actions else (),
        attachment=_attachment(row),
        content_type=_text(row, "content_type"),
        encoding=_text(row, "encoding"),
    )


def _attachment(row: sqlite3.Row) -> Attachment | None:
    """As it is: the file itself stays where its URL leads."""
    name, url = _text(row, "attachment_name"), _text(row, "attachment_url")
    if name is None or url is None:
        return None
    return Attachment(
        name=name,
        type=_text(row, "attachment_type"),
        size=int(str(value(row, "attachment_size", 0))) or None,
        expires=int(str(value(row, "attachment_expires", 0))) or None,
        url=url,
    )


def _text(row: sqlite3.Row, column: str) -> str | None:
    return str(value(row, column, "")) or None
