"""What is read from the SQLite files of an ntfy server."""

import sqlite3
import time
from pathlib import Path

import pytest
from tests.ntfy.moving.databases import HASH, message_file, old_user_file, some_messages, user_file

from gbe.errors import ConfigError
from gbe.notify.access.names import Role
from gbe.notify.access.permissions import Permission
from gbe.notify.access.tokens import digest
from gbe.notify.moving.messages import MessageFile
from gbe.notify.moving.users import UserFile


def test_users_of_the_first_version(tmp_path: Path) -> None:
    file = UserFile(old_user_file(tmp_path / "user.db"))
    users = {user.name: user for user in file.users}
    assert file.version == 1
    assert users["phil"].role is Role.ADMIN
    assert users["ben"].password == HASH
    assert users["ben"].grants.find("alerts-1") is Permission.READ_ONLY
    assert users["ben"].grants.find("secret") is Permission.DENY_ALL
    assert users["*"].grants.find("announcements") is Permission.READ_ONLY


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_users_of_later_versions(tmp_path: Path, version: int) -> None:
    file = UserFile(user_file(tmp_path / "user.db", version))
    users = {user.name: user for user in file.users}
    assert sorted(users) == ["*", "ben", "phil"]  # not the deleted one
    assert len(file.problems) == 1
    assert "odd" in file.problems[0]
    ben = users["ben"]
    assert (ben.id, ben.sync_topic, ben.created) == ("u_ben", "st_ben0000000000", 1700000002)
    assert sorted(ben.entries) == ["mine", "up_*"]
    assert list(ben.reservations) == ["mine"]
    assert users["*"].entries["mine"].owner == "ben"
    token = ben.tokens[digest("tk_" + "b" * 29)]
    assert (token.label, token.expires) == ("phone", 0)
    assert ben.settings.language == "de"
    assert ben.settings.subscriptions[0].topic == "ops"


@pytest.mark.parametrize("version", range(2, 15))
def test_messages_of_each_version(tmp_path: Path, version: int) -> None:
    file = MessageFile(message_file(tmp_path / "cache.db", version, some_messages("ops")), keep=3600)
    found = {stored.notification.id: stored for stored in file.messages}
    assert file.version == version
    full = found["aaaaaaaaaaa1"].notification
    assert (full.title, full.priority, full.tags, full.message) == ("Title", 4, ("a", "b"), "full")
    if version >= 10:
        assert full.expires is not None
        assert full.expires > time.time() + 8000
        assert full.attachment is not None
        assert full.attachment.size == 3
        assert full.actions[0].label == "Open"
    if version == 14:
        assert (full.content_type, full.sequence_id) == ("text/markdown", "seq")
        assert len(file.problems) == 2
    assert found["aaaaaaaaaaa2"].notification.priority is None
    assert found["aaaaaaaaaaa4"].waits
    assert not found["aaaaaaaaaaa1"].waits


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no database at all, though it is long enough to be taken for one" * 20)
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    other = message_file(tmp_path / "cache.db", 14, [])
    for file in (tmp_path / "missing", text, empty, other):
        with pytest.raises(ConfigError):
            UserFile(file)
    for file in (tmp_path / "missing", text, empty, user_file(tmp_path / "user.db")):
        with pytest.raises(ConfigError):
            MessageFile(file, keep=1)
    assert not (tmp_path / "missing").exists()
