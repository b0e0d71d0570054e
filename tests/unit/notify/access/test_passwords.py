"""Hashes as ntfy writes them, and what a check costs."""

import asyncio

import bcrypt
import pytest

from gbe.errors import NotifyError
from gbe.notify.access.passwords import Passwords, check_hash, hash_password, is_right

HASH = bcrypt.hashpw(b"secret", b"$2a$10$N9qo8uLOickgx2ZMRZoMye").decode()  # always the same: it names tests


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_all_prefixes_are_checked(prefix: str) -> None:
    """Of ntfy's own, of other bcrypt libraries, of htpasswd."""
    assert is_right("secret", check_hash(prefix + HASH[4:]))
    assert not is_right("wrong", prefix + HASH[4:])


def test_what_lies_behind_72_bytes_is_not_forgotten() -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(10)).decode()
    assert is_right("x" * 72, hashed)
    assert not is_right("x" * 73, hashed)


@pytest.mark.parametrize(
    "text",
    ["", "secret", HASH + "x", HASH[:-1], HASH.replace("$10$", "$04$"), HASH.replace("$10$", "$31$"), HASH + "\n"],
)
def test_other_texts_are_no_hashes(text: str) -> None:
    with pytest.raises(NotifyError):
        check_hash(text)
    assert not is_right("secret", text)  # soon, whatever cost it names


def test_nobody_has_no_password() -> None:
    assert not is_right("", "")
    assert not is_right("secret", "")


async def test_a_right_password_is_remembered_a_wrong_one_is_not() -> None:
    passwords = Passwords()
    try:
        assert not passwords.is_known("ann", "secret", HASH)
        assert await passwords.check("ann", "secret", HASH)
        assert passwords.is_known("ann", "secret", HASH)
        assert not await passwords.check("ann", "wrong", HASH)
        for name, password, hashed in (
            ("ann", "wrong", HASH), ("ann", "secret", hash_password("secret")), ("bob", "secret", HASH),
        ):  # fmt: skip
            assert not passwords.is_known(name, password, hashed)
    finally:
        passwords.close()


async def test_the_same_password_is_checked_once_for_all_who_ask_at_the_same_time() -> None:
    passwords = Passwords(threads=1)
    try:
        asked = [asyncio.ensure_future(passwords.check("ann", "secret", HASH)) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(passwords._running) == 1
        assert all(await asyncio.gather(*asked))
    finally:
        passwords.close()
