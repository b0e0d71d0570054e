"""The payload of ``{namespace}.notify.topic.{topic}``: one notification as it is stored (system.md section 3).

Fields follow the message object of ntfy-http-api.md section 2, plus ``v`` and ``ts`` that every payload of gbe
carries. The topic is in the subject and not repeated here. What has its default is left out of the JSON; ``v``,
``ts``, ``id``, ``time``, ``event`` and an action's ``clear`` have none, so they are always there. Unknown fields
are skipped: a newer producer may add optional ones.
"""

from typing import Annotated, Final, Literal

import msgspec

from gbe.schemas.decoding import decoded
from gbe.schemas.fields import Count, Moment, PayloadId, Seconds, Version

SCHEMA_VERSION: Final = 1

MESSAGE: Final = "message"
MESSAGE_CLEAR: Final = "message_clear"
MESSAGE_DELETE: Final = "message_delete"
POLL_REQUEST: Final = "poll_request"

Kind = Literal["message", "message_clear", "message_delete", "poll_request"]
ActionKind = Literal["view", "broadcast", "http", "copy"]

# gc=False: these hold only strings, numbers, tuples and flat mappings, which cannot form a cycle


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A button below a notification.

    Attributes:
        id: 10 random characters of ``A-Za-z0-9``, made by the server.
        action: ``view``, ``broadcast``, ``http`` or ``copy``.
        label: the text on the button.
        clear: whether a tap dismisses the notification.
        url: what to open (view) or to call (http).
        method: HTTP method in capitals; without one the client uses POST.
        headers: HTTP headers by name.
        body: HTTP body.
        intent: Android intent to broadcast.
        extras: extras of the intent.
        value: what to copy to the clipboard.
    """

    id: str
    action: ActionKind
    label: str
    clear: bool
    url: str | None = None
    method: str | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    intent: str | None = None
    extras: dict[str, str] | None = None
    value: str | None = None


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A file that belongs to a notification.

    Attributes:
        name: the file name to show.
        type: MIME type; uploaded files only.
        size: bytes; uploaded files only.
        expires: unix seconds; uploaded files only.
        url: where to download it.
    """

    name: str
    type: str | None = None
    size: Count | None = None
    expires: Seconds | None = None
    url: str


class Notification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event of a topic: a message, the clearing or deletion of a sequence, or a poll request.

    Attributes:
        v: schema version, ``SCHEMA_VERSION`` for what this release writes.
        ts: when it was published, unix **milliseconds**.
        id: 12 characters of ``A-Za-z0-9`` (``gbe.notify.ids``).
        time: unix **seconds**, as clients see it; for a delayed message the moment of delivery.
        event: ``message``, ``message_clear``, ``message_delete`` or ``poll_request``.
        expires: unix seconds after which it may be forgotten; ``None`` for what is not stored.
        sequence_id: ties updates of one notification together.
        title: ``None`` if the publisher gave none.
        message: the text, or base64 if ``encoding`` says so.
        priority: 1 to 5; ``None`` if the publisher gave none, which is not the same as 3.
        tags: in the publisher's order, duplicates kept.
        click: what a tap on the notification opens.
        icon: URL of an image.
        actions: at most three buttons.
        attachment: the file that belongs to it.
        poll_id: id of the message to fetch; poll requests only.
        content_type: ``text/markdown``, or ``None`` for plain text.
        encoding: ``base64`` if the body was not text.
    """

    v: Version
    ts: Moment
    id: PayloadId
    time: Seconds
    event: Kind
    expires: Seconds | None = None
    sequence_id: str | None = None
    title: str | None = None
    message: str | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None
    tags: tuple[str, ...] = ()
    click: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()
    attachment: Attachment | None = None
    poll_id: str | None = None
    content_type: str | None = None
    encoding: str | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Notification)


def encode(notification: Notification) -> bytes:
    """The notification as compact JSON."""
    return _encoder.encode(notification)


def decode(payload: bytes) -> Notification:
    """Read a notification back.

    Raises:
        InvalidEnvelopeError: not JSON, a required field is missing, or a field has the wrong type.
    """
    return decoded(_decoder, payload, "a notification")
