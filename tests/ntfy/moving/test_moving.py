"""``gbe notify import-ntfy``: what it brings over, on each engine, and that twice is once."""

import time
from pathlib import Path

import httpx
from tests.naming import unique
from tests.ntfy.access.accounts import basic
from tests.ntfy.conftest import OpenStore, OpenTransport, _opens_memory, _opens_memory_store
from tests.ntfy.moving.databases import message_file, old_user_file, some_messages, user_file
from tests.ntfy.server import KEEPALIVE, Loop, Server

from gbe.notify.access.config import AccessConfig
from gbe.notify.config import NotifyConfig
from gbe.notify.moving.messages import MessageFile
from gbe.notify.moving.movers import MessageMover, Moved, move_users
from gbe.notify.moving.users import UserFile
from gbe.state.memory import MemoryRecords
from gbe.transport.memory_engine import MemoryEngine

CONFIG = AccessConfig(auth_default_access="deny-all")


def test_users_and_messages_come_over_once(
    loop: Loop,
    http_client: httpx.Client,
    open_transport: OpenTransport,
    open_store: OpenStore,
    tmp_path: Path,
) -> None:
    """Dry first, then for good, then again; clients see what they saw before."""
    topic = unique("t")
    notify = NotifyConfig(keepalive_interval=KEEPALIVE, message_delay_limit=86_400)
    users = UserFile(user_file(tmp_path / "user.db"))
    messages = MessageFile(message_file(tmp_path / "cache.db", 14, some_messages(topic)), keep=3600)
    with Server(loop, http_client, open_transport, notify=notify, access=CONFIG, open_store=open_store) as server:
        assert server.access is not None
        accounts = server.access.accounts

        async def move(dry_run: bool) -> tuple[Moved, Moved]:
            async with await open_store() as store:
                mover = MessageMover(server.transport, store, server.namespace, dry_run=dry_run)
                moved = await move_users(users.users, accounts, dry_run=dry_run)
                return moved, await mover.move(messages.messages)

        for dry_run in (True, False):
            moved_users, moved_messages = loop.call(move(dry_run))
            assert (moved_users.new, moved_users.known) == (3, 0)
            assert (moved_messages.new, moved_messages.known, moved_messages.over) == (3, 0, 1)
        moved_users, moved_messages = loop.call(move(False))
        assert (moved_users.new, moved_users.known) == (0, 3)
        assert (moved_messages.new, moved_messages.known, moved_messages.over) == (0, 3, 1)

        token = {"Authorization": f"Bearer tk_{'b' * 29}"}
        account = server.get("/v1/account", headers=token).json()
        assert (account["username"], account["sync_topic"], account["language"]) == ("ben", "st_ben0000000000", "de")
        assert account["reservations"] == [{"topic": "mine", "everyone": "deny-all"}]
        assert server.get("/up_1/auth", headers=token).status_code == 200
        assert server.get("/announcements/auth").status_code == 200
        assert server.get("/else/auth", headers=token).status_code == 403

        loop.call(accounts.allow("ben", topic, users.users[0].entries["announcements"].permission))
        lines = server.get(f"/{topic}/json?poll=1", headers=token).text.splitlines()
        assert ['"message":"full"' in lines[0], '"message":"plain"' in lines[1], len(lines)] == [True, True, 2]
        assert '"id":"aaaaaaaaaaa1"' in lines[0]
        since = f"/{topic}/json?poll=1&since={int(time.time()) - 70}"
        assert len(server.get(since, headers=token).text.splitlines()) == 1  # times are those of the old server


def test_who_is_here_keeps_the_password_and_gets_what_is_missing(
    loop: Loop, http_client: httpx.Client, tmp_path: Path
) -> None:
    opens = _opens_memory(MemoryEngine()), _opens_memory_store(MemoryRecords())
    with Server(loop, http_client, opens[0], access=CONFIG, open_store=opens[1]) as server:
        assert server.access is not None
        access = server.access
        hashed = loop.call(access.passwords.hashed("mine"))
        loop.call(access.accounts.add("ben", hashed))
        moved = loop.call(
            move_users(UserFile(old_user_file(tmp_path / "user.db")).users, access.accounts, dry_run=False)
        )
        assert (moved.new, moved.changed) == (2, 1)
        ben = {"Authorization": basic("ben", "mine")}
        assert server.get("/alerts-1/auth", headers=ben).status_code == 200
        assert server.get("/announcements/auth").status_code == 200
