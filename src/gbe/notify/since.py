"""From where a subscription wants the past replayed (section 5.2)."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gbe.notify.durations import parse_duration_ms
from gbe.notify.errors import Refusal


class Replay(Enum):
    """Replays that need no position."""

    ALL = "all"
    NONE = "none"
    LATEST = "latest"
    """The newest message of each topic."""


@dataclass(frozen=True, slots=True)
class AfterMessage:
    """What arrived after this message, without it; everything if the id is unknown."""

    message_id: str


@dataclass(frozen=True, slots=True)
class FromTime:
    """What has this time or a later one; unix seconds, inclusive, possibly negative or in the future."""

    time: int


Since = Replay | AfterMessage | FromTime

_WORDS: Final[dict[str, Since]] = {replay.value: replay for replay in Replay}
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9]{12}")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_MAX_TIME: Final = (1 << 63) - 1


def parse_since(text: str, *, poll: bool, now_ms: int) -> Since:
    """Read the ``since`` option; an empty ``text`` means that it is absent.

    Twelve alphanumerics are a message id even if all are digits. The times 0 and 1 stand for all and none.

    Raises:
        NotifyError: 40008, in none of the forms.
    """
    if not text:
        return Replay.ALL if poll else Replay.NONE
    word = _WORDS.get(text)
    if word is not None:
        return word
    if _MESSAGE_ID.fullmatch(text):
        return AfterMessage(text)
    if _INTEGER.fullmatch(text):
        return _from_integer(int(text))
    duration = parse_duration_ms(text)
    if duration is None:
        raise Refusal.SINCE_INVALID.error()
    return FromTime((now_ms - duration) // 1000)


def _from_integer(time: int) -> Since:
    """Raises ``NotifyError`` for what does not fit into 64 bits."""
    if time == 0:
        return Replay.ALL
    if time == 1:
        return Replay.NONE
    if abs(time) > _MAX_TIME:
        raise Refusal.SINCE_INVALID.error()
    return FromTime(time)
