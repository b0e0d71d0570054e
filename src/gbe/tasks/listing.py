"""Lists of tasks, whose pages cost the same however many tasks there are.

The state store knows no order by age. So a list goes through its records in stretches of a bounded length, and shows
each stretch with its newest task first. A cursor names the stretch and, within it, the last task that was shown.
"""

import base64
import binascii
import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final, Self

import msgspec

from gbe.errors import InvalidKeyError, InvalidTaskError
from gbe.lifecycle.record import TaskRecord
from gbe.tasks.store import TaskStore

STRETCH: Final = 5_000
"""Records that one page looks at; up to twice as many where some were added since the page before."""
_AT_ONCE: Final = 1_000
_MOST_CURSOR: Final = 1_024

_Text = Annotated[str, msgspec.Meta(max_length=300)]


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page begins.

    Attributes:
        start, end: cursors of ``StateStore.scan_page`` around its stretch; a stretch without an end is a new one, or
            the last.
        is_last: whether the stretch has no end because nothing follows.
        created_at, task_id: only tasks that are older than this one.
    """

    start: _Text | None = None
    end: _Text | None = None
    is_last: bool = False
    created_at: Annotated[int, msgspec.Meta(ge=0, lt=10**13)] | None = None
    task_id: _Text = ""

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Read what ``behind`` wrote. Raises ``InvalidTaskError``."""
        try:
            text = cursor[:_MOST_CURSOR].encode("ascii")
            return msgspec.json.decode(base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True), type=cls)
        except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
            raise InvalidTaskError("list", "cursor", "not one of ours") from None

    def behind(self, last: TaskRecord | None, end: str | None) -> str | None:
        """The cursor behind a page.

        Args:
            last: of the page, if more of its stretch follows.
            end: of the stretch; ``None``: nothing follows it.
        """
        if last is not None:
            place = Place(self.start, end, end is None, last.created_at, last.task_id)
        elif end is not None:
            place = Place(end)
        else:
            return None
        return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()

    def covers(self, record: TaskRecord) -> bool:
        """Whether a task of the stretch has not been shown yet."""
        return self.created_at is None or (record.created_at, record.task_id) < (self.created_at, self.task_id)


async def stretch(
    store: TaskStore, task_type: str | None, place: Place, is_meant: Callable[[TaskRecord], bool], count: int
) -> tuple[list[TaskRecord], str | None]:
    """The newest ``count`` tasks of a stretch that are meant, without what is large, and the end of the stretch.

    Raises:
        InvalidTaskError: the place is none of this store's.
    """
    found: dict[str, TaskRecord] = {}
    cursor, looked = place.start, 0
    is_new = place.end is None and not place.is_last
    most = STRETCH if is_new else 2 * STRETCH
    while looked < most:
        try:
            page = await store.page(task_type, cursor, min(_AT_ONCE, most - looked), place.end)
        except InvalidKeyError:
            raise InvalidTaskError("list", "cursor", "not one of this list's") from None
        for record in page.tasks:
            if is_meant(record) and place.covers(record):
                found[record.task_id] = replace(record, params=None, result=None)
        if len(found) > 2 * count + _AT_ONCE:
            found = {record.task_id: record for record in _newest(found, count)}
        looked, cursor = looked + max(1, page.looked), page.cursor
        if cursor is None:
            return _newest(found, count), place.end
    return _newest(found, count), cursor


def _newest(found: dict[str, TaskRecord], count: int) -> list[TaskRecord]:
    return heapq.nlargest(count, found.values(), key=lambda record: (record.created_at, record.task_id))
