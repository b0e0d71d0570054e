"""Databases as ntfy servers of several versions leave them, made from their schemas."""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

HASH = "$2a$10$YLiO8U21sX1uhZamTLJXHuxgVC0Z/GKISibrKCLohPgtG7yIxSk4C"
OLD_USERS = """
CREATE TABLE user (user TEXT NOT NULL PRIMARY KEY, pass TEXT NOT NULL, role TEXT NOT NULL);
CREATE TABLE access (user TEXT NOT NULL, topic TEXT NOT NULL, read INT NOT NULL, write INT NOT NULL,
  PRIMARY KEY (topic, user));
"""
USERS = """
CREATE TABLE tier (id TEXT PRIMARY KEY, code TEXT NOT NULL);
CREATE TABLE user (id TEXT PRIMARY KEY, tier_id TEXT, user TEXT NOT NULL, pass TEXT NOT NULL,
  role TEXT CHECK (role IN ('anonymous', 'admin', 'user')) NOT NULL, prefs JSON NOT NULL DEFAULT '{}',
  sync_topic TEXT NOT NULL, stats_messages INT NOT NULL DEFAULT (0), created INT NOT NULL, deleted INT{provisioned});
CREATE TABLE user_access (user_id TEXT NOT NULL, topic TEXT NOT NULL, read INT NOT NULL, write INT NOT NULL,
  owner_user_id INT{provisioned}, PRIMARY KEY (user_id, topic));
CREATE TABLE user_token (user_id TEXT NOT NULL, token TEXT NOT NULL, label TEXT NOT NULL, last_access INT NOT NULL,
  last_origin TEXT NOT NULL, expires INT NOT NULL{provisioned}, PRIMARY KEY (user_id, token));
INSERT INTO user (id, user, pass, role, sync_topic, created)
  VALUES ('u_everyone', '*', '', 'anonymous', '', 1700000000);
"""
# column, and the version of the schema that has brought it
MESSAGE_COLUMNS = (
    ("mid", 0), ("time", 0), ("topic", 0), ("message", 0), ("title", 1), ("priority", 1), ("tags", 1), ("published", 2),
    ("click", 3), ("attachment_name", 3), ("attachment_type", 3), ("attachment_size", 3), ("attachment_expires", 3),
    ("attachment_url", 3), ("encoding", 4), ("actions", 6), ("icon", 7), ("sender", 8), ("user", 10), ("expires", 10),
    ("attachment_deleted", 10), ("content_type", 12), ("event", 14), ("sequence_id", 14),
)  # fmt: skip


def make(file: Path, script: str, version: int) -> sqlite3.Connection:
    """A database with these tables."""
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.execute("CREATE TABLE schemaVersion (id INT PRIMARY KEY, version INT NOT NULL)")
    connection.execute("INSERT INTO schemaVersion VALUES (1, ?)", (version,))
    return connection


def old_user_file(file: Path) -> Path:
    """Of the first version."""
    with closing(make(file, OLD_USERS, 1)) as database:
        database.executemany("INSERT INTO user VALUES (?, ?, ?)", [("phil", HASH, "admin"), ("ben", HASH, "user")])
        rows = [("ben", "alerts%", 1, 0), ("*", "announcements", 1, 0), ("ben", "secret", 0, 0)]
        database.executemany("INSERT INTO access VALUES (?, ?, ?, ?)", rows)
        database.commit()
    return file


def user_file(file: Path, version: int = 6) -> Path:
    """An administrator, a user with token, preferences and reservation, one who is deleted, one without a hash."""
    more = ", provisioned INT NOT NULL DEFAULT (0)" if version >= 6 else ""
    underscore = "\\_" if version >= 4 else "_"
    prefs = '{"language":"de","subscriptions":[{"base_url":"https://x.net","topic":"ops","display_name":null}]}'
    with closing(make(file, USERS.replace("{provisioned}", more), version)) as database:
        database.executemany(
            "INSERT INTO user (id, user, pass, role, prefs, sync_topic, created, deleted)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                ("u_phil", "phil", HASH, "admin", "{}", "st_phil000000000", 1700000001, None),
                ("u_ben", "ben", HASH, "user", prefs, "st_ben0000000000", 1700000002, None),
                ("u_gone", "gone", HASH, "user", "{}", "st_gone000000000", 1700000003, 1700000009),
                ("u_odd", "odd", "plain text", "user", "{}", "st_odd0000000000", 1700000004, None),
            ],
        )
        database.executemany(
            "INSERT INTO user_access (user_id, topic, read, write, owner_user_id) VALUES (?, ?, ?, ?, ?)",
            [
                ("u_ben", f"up{underscore}%", 1, 1, None),
                ("u_ben", "mine", 1, 1, "u_ben"),
                ("u_everyone", "mine", 0, 0, "u_ben"),
                ("u_everyone", "announcements", 1, 0, None),
            ],
        )
        database.execute(
            "INSERT INTO user_token (user_id, token, label, last_access, last_origin, expires)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ("u_ben", "tk_" + "b" * 29, "phone", 1700000005, "1.2.3.4", 0),
        )
        database.commit()
    return file


def message_file(file: Path, version: int, messages: Iterable[Mapping[str, object]]) -> Path:
    """With these messages; columns that the version lacks are left out."""
    known = [name for name, since in MESSAGE_COLUMNS if since <= version]
    script = f"CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, {', '.join(known)})"
    with closing(make(file, script, version)) as database:
        for message in messages:
            row = {"title": "", "tags": "", "priority": 0, "published": 1, "event": "message", **message}
            row = {name: value for name, value in row.items() if name in known}
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO messages ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
        database.commit()
    return file


def some_messages(topic: str, now: int | None = None) -> list[dict[str, object]]:
    """One of each kind: full, plain, expired, waiting, of an unknown kind, of an impossible topic."""
    now = int(time.time()) if now is None else now
    actions = '[{"id":"abcdefghij","action":"view","label":"Open","clear":false,"url":"https://x.net"}]'
    return [
        {
            "mid": "aaaaaaaaaaa1", "time": now - 100, "expires": now + 9000, "topic": topic, "message": "full",
            "title": "Title", "priority": 4, "tags": "a,b", "click": "https://c.net", "icon": "https://i.net/i.png",
            "actions": actions, "attachment_name": "f.txt", "attachment_type": "text/plain", "attachment_size": 3,
            "attachment_expires": now + 99, "attachment_url": "https://old.net/file/aaaaaaaaaaa1.txt",
            "content_type": "text/markdown", "sequence_id": "seq",
        },
        {"mid": "aaaaaaaaaaa2", "time": now - 50, "expires": now + 9000, "topic": topic, "message": "plain"},
        {"mid": "aaaaaaaaaaa3", "time": now - 99999, "expires": now - 1, "topic": topic, "message": "expired"},
        {
            "mid": "aaaaaaaaaaa4", "time": now + 3600, "expires": now + 9000, "topic": topic, "message": "waits",
            "published": 0,
        },
        {
            "mid": "aaaaaaaaaaa5", "time": now - 10, "expires": now + 9000, "topic": topic, "message": "?",
            "event": "new",
        },
        {"mid": "aaaaaaaaaaa6", "time": now - 10, "expires": now + 9000, "topic": "a b", "message": "?"},
    ]  # fmt: skip
