"""The protocol's two ends: what a command is made of, and what a reply becomes."""

from collections.abc import Sequence
from typing import Any

from hiredis import ReplyError as ReplyError  # an error that the server answers with; its first word is its code
from hiredis import pack_command

Argument = bytes | str | int | float
"""A word of a command. Text is sent as UTF-8."""

Reply = Any
"""What hiredis makes of a reply: ``bytes``, ``int``, ``None``, ``list`` of these, or a ``hiredis.ReplyError``."""


def pack(*command: Argument) -> bytes:
    """A command as it goes over the wire (RESP)."""
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub knows tuples of one word only
    return packed


def pack_all(command: Sequence[Argument]) -> bytes:
    """The same, for a command in one piece."""
    packed: bytes = pack_command(tuple(command))  # type: ignore[arg-type]  # as above
    return packed
