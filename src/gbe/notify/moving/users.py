"""Users, entries and tokens in ntfy's user database.

Two forms are known. The first version has the tables ``user`` and ``access``, by name. Later ones (2 to 6 were looked
at) have ``user``, ``user_access`` and ``user_token``, by id; what later versions added is read where it is there. In
the column of patterns ``%`` stands for what people write as ``*``, and an underscore may have a backslash in front.
"""

import sqlite3
from collections import defaultdict
from pathlib import Path

import msgspec

from gbe.errors import ConfigError, NotifyError
from gbe.notify.access.names import EVERYONE, Role, check_pattern, check_user_name
from gbe.notify.access.passwords import check_hash
from gbe.notify.access.permissions import Permission
from gbe.notify.access.tokens import Token, digest, random_text, shown
from gbe.notify.access.users import Entry, Settings, User, everyone
from gbe.notify.moving.sqlite import columns, opened, schema_version, value

_PERMISSIONS = {
    (True, True): Permission.READ_WRITE,
    (True, False): Permission.READ_ONLY,
    (False, True): Permission.WRITE_ONLY,
    (False, False): Permission.DENY_ALL,
}


class UserFile:
    """What a user database holds.

    Attributes:
        version: of its schema.
        users: ready to be kept; ``*`` among them if it has entries.
        problems: what could not be read, and is left out.
    """

    def __init__(self, file: Path) -> None:
        """Read it. Raises ``ConfigError``: it is no such file."""
        self.problems: list[str] = []
        self.users: list[User] = []
        with opened(file) as connection:
            self.version = schema_version(connection)
            user = columns(connection, "user")
            if not {"user", "pass", "role"} <= user:
                raise ConfigError(f"{file} is not a user database of ntfy: it has no table `user` with names and roles")
            self._read(connection, by_id="id" in user)

    def _read(self, connection: sqlite3.Connection, *, by_id: bool) -> None:
        names: dict[str, str] = {}
        rows = [row for row in connection.execute("SELECT * FROM user") if not value(row, "deleted")]
        for row in rows:
            names[row["id"] if by_id else row["user"]] = row["user"]
        entries = self._entries(connection, names, by_id=by_id)
        tokens = self._tokens(connection) if by_id else {}
        if EVERYONE in entries:
            self.users.append(msgspec.structs.replace(everyone(), entries=entries[EVERYONE]))
        for row in rows:
            if row["user"] != EVERYONE:
                key = row["id"] if by_id else row["user"]
                self._add(row, entries.get(row["user"], {}), tokens.get(key, {}))

    def _add(self, row: sqlite3.Row, entries: dict[str, Entry], tokens: dict[str, Token]) -> None:
        try:
            user = User(
                name=check_user_name(row["user"]),
                role=Role.ADMIN if row["role"] == Role.ADMIN.value else Role.USER,
                id=str(value(row, "id") or "u_" + random_text(10)),
                password=check_hash(row["pass"]),
                sync_topic=str(value(row, "sync_topic") or "st_" + random_text(13)),
                created=int(str(value(row, "created", 0))),
                entries={} if row["role"] == Role.ADMIN.value else entries,
                tokens=tokens,
                settings=_settings(str(value(row, "prefs", "{}"))),
            )
        except NotifyError as exc:
            self.problems.append(f"user {row['user']!r} is left out: {exc.message}")
            return
        self.users.append(user)

    def _entries(
        self, connection: sqlite3.Connection, names: dict[str, str], *, by_id: bool
    ) -> dict[str, dict[str, Entry]]:
        found: dict[str, dict[str, Entry]] = defaultdict(dict)
        table, column = ("user_access", "user_id") if by_id else ("access", "user")
        if not columns(connection, table):
            return found
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - one of two names
            name = names.get(row[column]) or (EVERYONE if row[column] in (EVERYONE, "u_everyone") else None)
            pattern = _pattern(row["topic"])
            try:
                check_pattern(pattern)
            except NotifyError:
                self.problems.append(f"an entry is left out: {pattern!r} is no pattern")
                continue
            if name is None:
                self.problems.append(f"an entry for {pattern!r} is left out: its user is gone")
                continue
            permission = _PERMISSIONS[bool(row["read"]), bool(row["write"])]
            owner = names.get(str(value(row, "owner_user_id", "")), "")
            found[name][pattern] = Entry(permission=permission, owner=owner)
        return found

    def _tokens(self, connection: sqlite3.Connection) -> dict[str, dict[str, Token]]:
        found: dict[str, dict[str, Token]] = defaultdict(dict)
        if not columns(connection, "user_token"):
            return found
        for row in connection.execute("SELECT * FROM user_token"):
            text = str(row["token"])
            found[row["user_id"]][digest(text)] = Token(
                shown=shown(text),
                label=str(value(row, "label", "")),
                expires=int(str(value(row, "expires", 0))),
                created=int(str(value(row, "last_access", 0))),
            )
        return found


def _pattern(stored: str) -> str:
    return stored.replace("\\_", "_").replace("%", "*")


def _settings(text: str) -> Settings:
    """What devices remember; nothing, if it is in a form of its own."""
    try:
        return msgspec.json.decode(text, type=Settings)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return Settings()
