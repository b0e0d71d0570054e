"""Passwords: bcrypt hashes as ntfy writes them, checked in threads.

A check costs tens of milliseconds on purpose, and clients send their password with every request. So what was found
right is remembered for some minutes, as a hash with a key that only this process has; what was wrong never is.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt

from gbe.notify.access.names import MAX_PASSWORD_BYTES
from gbe.notify.errors import Refusal

COST: Final = 10
_COSTS: Final = range(10, 15)  # less is too weak; more would keep a thread busy for seconds
_HASH: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_NOBODYS: Final = "$2b$10$lLVOrNyseFe9t9YDBEFn4O4rfyaCXBgKfkLTmuj8mfyeNlUc.LqHK"
"""The hash of a random password that nobody knows: to check one for a user who is not there."""
_REMEMBERED: Final = 10_000
_MOST_WAITING: Final = 256


def check_hash(text: str) -> str:
    """Return ``text`` if it is a bcrypt hash (``$2a$``, ``$2b$`` or ``$2y$``). Raises ``NotifyError`` 40000."""
    if not _is_hash(text):
        raise Refusal.INVALID_REQUEST.error("hash must be a bcrypt hash of cost 10 to 14")
    return text


def hash_password(password: str, cost: int = COST) -> str:
    """The bcrypt hash of a password that ``check_password`` has let through; takes tens of milliseconds."""
    return bcrypt.hashpw(_bytes(password), bcrypt.gensalt(cost)).decode("ascii")


def is_right(password: str, hashed: str) -> bool:
    """Whether a password belongs to a hash; takes as long if it does not, or if ``hashed`` is empty."""
    given = _bytes(password)
    usable = len(given) <= MAX_PASSWORD_BYTES and _is_hash(hashed)
    compared = hashed if _is_hash(hashed) else _NOBODYS
    try:
        return bcrypt.checkpw(given[:MAX_PASSWORD_BYTES], compared.encode("ascii")) and usable
    except ValueError:  # it only looks like a hash
        return False


def _is_hash(text: str) -> bool:
    found = _HASH.fullmatch(text)
    return found is not None and int(found[1]) in _COSTS


class Passwords:
    """Checks passwords beside the event loop.

    Args:
        remember: seconds for which a right password need not be checked again.
        threads: how many are checked at a time; as many as there are processors by default.
    """

    def __init__(self, *, remember: float = 300.0, threads: int | None = None) -> None:
        self._key = secrets.token_bytes(32)
        self._remember = remember
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="gbe-passwords")
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}

    def is_known(self, name: str, password: str, hashed: str) -> bool:
        """Whether this very password was right a moment ago; costs next to nothing."""
        until = self._right.get(self._mark(name, password, hashed))
        return until is not None and until > time.monotonic()

    def is_running(self, name: str, password: str, hashed: str) -> bool:
        """Whether this very password is being checked for somebody else."""
        return self._mark(name, password, hashed) in self._running

    async def check(self, name: str, password: str, hashed: str) -> bool:
        """Whether the password is right; ``hashed`` is empty for a user who is not there.

        Raises:
            NotifyError: 42901, too many are being checked.
        """
        mark = self._mark(name, password, hashed)
        running = self._running.get(mark)
        if running is None:
            if len(self._running) >= _MOST_WAITING:
                raise Refusal.TOO_MANY_REQUESTS.error("too many logins at the same time")
            running = asyncio.get_running_loop().run_in_executor(self._threads, is_right, password, hashed)
            self._running[mark] = running
            running.add_done_callback(lambda _done: self._running.pop(mark, None))
        right = await asyncio.shield(running)
        if right:
            self._right[mark] = time.monotonic() + self._remember
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return right

    async def hashed(self, password: str) -> str:
        """``hash_password`` beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _mark(self, name: str, password: str, hashed: str) -> bytes:
        given = hashlib.sha256(_bytes(password)).digest()  # of one length, so that no field runs into another
        return hmac.digest(self._key, b"\0".join((given, hashed.encode(), _bytes(name))), hashlib.sha256)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
