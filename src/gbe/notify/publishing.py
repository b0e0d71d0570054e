"""From a request to what is published: options, body, and the order of the checks (sections 4.2 to 4.12).

Between reading the options and looking at the body, a server counts the message against the visitor's quota. So
there are two steps, ``read_options`` and ``compose``; ``from_request`` and ``from_json`` take both at once.
"""

import codecs
from base64 import b64encode
from typing import Final
from urllib.parse import unquote

import msgspec

from gbe.notify import options
from gbe.notify.actions import parse_actions
from gbe.notify.config import NotifyConfig
from gbe.notify.delay import parse_delay
from gbe.notify.email.compose import is_address
from gbe.notify.email.mailbox import Mailboxes, nobody
from gbe.notify.errors import Refusal
from gbe.notify.ids import mint_with_ulid
from gbe.notify.json_request import EMPTY_MESSAGE, read_json
from gbe.notify.parameters import Parameters
from gbe.notify.priority import parse_priority
from gbe.notify.text import one_line, split_list, trim, without_nul
from gbe.notify.topics import check_sequence, check_topic
from gbe.schemas.notify import (
    MESSAGE,
    MESSAGE_CLEAR,
    MESSAGE_DELETE,
    POLL_REQUEST,
    SCHEMA_VERSION,
    Action,
    Attachment,
    Kind,
    Notification,
)

POLL_REQUEST_MESSAGE: Final = "New message"
MARKDOWN_TYPE: Final = "text/markdown"
BASE64: Final = "base64"

MAX_TITLE_BYTES: Final = 1024
MAX_TAGS_BYTES: Final = 512

_WEB_PUSH_ENCODING: Final = "aes128gcm"  # a web push message as RFC 8291 encrypts it
_URL_START: Final = ("http://", "https://")
_OWN_EMAIL: Final = frozenset({"yes", "true", "1"})

_NO_UPLOADS: Final = "this server stores no files"


# structs rather than dataclasses: these are made for every message, and a frozen dataclass takes ten times as long


class Publication(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A notification on its way to the transport.

    Attributes:
        topic: the topic it goes to.
        ulid: the transport id that belongs to the id of the notification.
        notification: the payload.
        durable: whether it is stored; otherwise only live subscribers get it.
        deliver_at: unix **milliseconds** before which it must not be delivered; ``None`` means at once.
    """

    topic: str
    ulid: str
    notification: Notification
    durable: bool
    deliver_at: int | None = None


class PublishOptions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The options of a publish request, checked. Empty strings stand for what was not given.

    Attributes:
        message: the text that stands in for an empty body.
        priority: 1 to 5, or ``None``.
        attach: URL of an external attachment.
        filename: name of the attachment.
        durable: whether the message is kept: neither publisher nor configuration forbids it.
        unified_push: whether the body is kept byte for byte.
        template: the template option as given, if the body is JSON for one; then ``title`` and ``message`` are
            templates too, and nothing may be composed before ``gbe.notify.templating`` has been applied.
        priority_template: the priority as given, if it may be a template.
        deliver_at: unix milliseconds, or ``None``.
        email: the address to send a mail to, or an empty string.
    """

    message: str
    title: str
    priority: int | None
    tags: tuple[str, ...]
    click: str
    icon: str
    actions: tuple[Action, ...]
    attach: str
    filename: str
    markdown: bool
    durable: bool
    unified_push: bool
    sequence_id: str
    template: str
    priority_template: str
    poll_id: str
    deliver_at: int | None
    email: str = ""


def read_options(
    parameters: Parameters,
    *,
    config: NotifyConfig,
    now_ms: int,
    sequence_from_path: str | None = None,
    mailbox: Mailboxes = nobody,
) -> PublishOptions:
    """Read and check the options in the order of section 4.2, from the sequence to UnifiedPush.

    Args:
        now_ms: unix milliseconds.
        sequence_from_path: beats the option of the same meaning.
        mailbox: finds the addresses of whoever publishes.

    Raises:
        NotifyError: the first check that fails: 40049, 40057, 40013, 40021, 40050, 40001, 40053, 40052, 40032, 40007,
            40058, 40002, 40003, 40004, 40005, 40006, 40018.
    """
    get = parameters.getter()
    sequence_id = sequence_from_path or get(options.SEQUENCE)
    if sequence_id:
        check_sequence(sequence_id)
    title = get(options.TITLE)
    if len(title) * 4 > MAX_TITLE_BYTES and len(title.encode()) > MAX_TITLE_BYTES:
        raise Refusal.TITLE_TOO_LARGE.error(f"at most {MAX_TITLE_BYTES} bytes")
    attach = get(options.ATTACH)
    if attach and not attach.startswith(_URL_START):
        raise Refusal.ATTACHMENT_URL_INVALID.error()
    icon = get(options.ICON)
    if icon and not icon.startswith(_URL_START):
        raise Refusal.ICON_URL_INVALID.error()
    email = _email(get(options.EMAIL), config, mailbox)
    if config.refuse_calls and get(options.CALL):
        raise Refusal.CALLS_DISABLED.error("this server makes no calls")
    unified_push = (
        parameters.flag(options.UNIFIED_PUSH, default=False)
        or get(options.CONTENT_ENCODING).lower() == _WEB_PUSH_ENCODING
    )
    # the rows of section 4.5 before the fifth leave no body for a template
    template = "" if unified_push or attach or get(options.FILENAME) or get(options.POLL_ID) else get(options.TEMPLATE)
    priority = get(options.PRIORITY)
    message = get(options.MESSAGE)
    durable = parameters.flag(options.CACHE, default=True) and config.cache_duration > 0
    return PublishOptions(  # arguments are evaluated as they stand here, which is the order of the checks
        sequence_id=sequence_id,
        title=title,
        attach=attach,
        icon=icon,
        template=template,
        priority_template=priority if template else "",
        # with a template the priority may be one too, so only its result could be checked
        priority=parse_priority(priority) if priority and not template else None,
        tags=_tags(get(options.TAGS)),
        durable=durable,
        deliver_at=_deliver_at(get(options.DELAY), durable, email, config, now_ms),
        email=email,
        actions=_actions(get(options.ACTIONS)),
        message=message if template else message.replace("\\n", "\n"),
        click=get(options.CLICK),
        filename=get(options.FILENAME),
        markdown=parameters.flag(options.MARKDOWN, default=False) or _is_markdown(get(options.CONTENT_TYPE)),
        unified_push=unified_push,
        poll_id=get(options.POLL_ID),
    )


def wants_file(chosen: PublishOptions) -> bool:
    """Whether the body is a file, whatever is in it (section 4.5, row 4)."""
    return bool(chosen.filename) and _takes_file(chosen)


def is_file(chosen: PublishOptions, head: bytes, limit: int) -> bool:
    """Whether the body is a file because of what is in it: long or binary (section 4.5, row 7).

    Args:
        head: all of it, or the first ``limit`` bytes.
    """
    if not _takes_file(chosen) or chosen.template:
        return False
    if len(head) >= limit:
        return True
    try:
        head.decode()
    except UnicodeDecodeError:
        return True
    return False


def _takes_file(chosen: PublishOptions) -> bool:
    return not (chosen.poll_id or chosen.unified_push or chosen.attach)


def file_expires(chosen: PublishOptions, config: NotifyConfig, now_ms: int) -> int | None:
    """When the message expires, unix seconds, and its file with it; ``None`` if it is not kept.

    Raises:
        NotifyError: 40015, the file would be gone before its message is delivered.
    """
    if chosen.deliver_at is not None and chosen.deliver_at > now_ms + config.attachment_expiry_duration * 1000:
        raise Refusal.ATTACHMENT_EXPIRES_FIRST.error()
    due_ms = now_ms if chosen.deliver_at is None else chosen.deliver_at
    return due_ms // 1000 + int(config.cache_duration) if chosen.durable else None


def compose(
    topic: str,
    chosen: PublishOptions,
    body: bytes,
    *,
    config: NotifyConfig,
    now_ms: int,
    uploaded: Attachment | None = None,
) -> Publication:
    """Make the notification out of checked options and the body (section 4.5).

    Args:
        body: the request's body. What follows the first ``message_size_limit`` bytes does not matter.
        now_ms: unix milliseconds.
        uploaded: the file that the body was; ``body`` does not count then.

    Raises:
        NotifyError: 40011, 40014; 40045 if a template has not been applied.
    """
    if chosen.poll_id:
        return _poll_request(topic, chosen.poll_id, now_ms)
    attachment = uploaded or _attachment(chosen)
    message, encoding = _content(chosen, b"" if uploaded else body, attachment, config.message_size_limit)
    # an id says when to look for its message: a delayed one will be found at the time of its delivery
    due_ms = now_ms if chosen.deliver_at is None else chosen.deliver_at
    time = due_ms // 1000
    message_id, ulid = mint_with_ulid(due_ms)
    notification = Notification(
        v=SCHEMA_VERSION,
        ts=now_ms,
        id=message_id,
        time=time,
        event=MESSAGE,
        expires=time + int(config.cache_duration) if chosen.durable else None,
        sequence_id=chosen.sequence_id or None,
        title=chosen.title or None,
        message=message or EMPTY_MESSAGE,
        priority=chosen.priority,
        tags=chosen.tags,
        click=chosen.click or None,
        icon=chosen.icon or None,
        actions=chosen.actions,
        attachment=attachment,
        content_type=MARKDOWN_TYPE if chosen.markdown else None,
        encoding=encoding,
    )
    return Publication(
        topic=topic, ulid=ulid, notification=notification, durable=chosen.durable, deliver_at=chosen.deliver_at
    )


def from_request(
    topic: str,
    parameters: Parameters,
    body: bytes,
    *,
    config: NotifyConfig,
    now_ms: int,
    sequence_from_path: str | None = None,
) -> Publication:
    """What ``PUT``, ``POST /TOPIC`` or ``GET /TOPIC/publish`` publishes.

    Raises:
        NotifyError: as ``check_topic``, ``read_options`` and ``compose`` do, in this order.
    """
    check_topic(topic, config.disallowed_topics)
    chosen = read_options(parameters, config=config, now_ms=now_ms, sequence_from_path=sequence_from_path)
    return compose(topic, chosen, body, config=config, now_ms=now_ms)


def from_json(body: bytes, parameters: Parameters, *, config: NotifyConfig, now_ms: int) -> Publication:
    """What ``PUT`` or ``POST /`` publishes (section 4.8).

    Raises:
        NotifyError: as ``gbe.notify.json_request.read_json`` does, then as ``from_request``.
    """
    request = read_json(body, parameters, message_size_limit=config.message_size_limit)
    return from_request(request.topic, request.parameters, request.message, config=config, now_ms=now_ms)


def message_clear(topic: str, sequence_id: str, *, config: NotifyConfig, now_ms: int) -> Publication:
    """The event that marks a sequence as read (section 4.12). Raises ``NotifyError`` 40049."""
    return _sequence_event(MESSAGE_CLEAR, topic, sequence_id, config, now_ms)


def message_delete(topic: str, sequence_id: str, *, config: NotifyConfig, now_ms: int) -> Publication:
    """The event that removes a sequence (section 4.12). Raises ``NotifyError`` 40049."""
    return _sequence_event(MESSAGE_DELETE, topic, sequence_id, config, now_ms)


def _sequence_event(event: Kind, topic: str, sequence_id: str, config: NotifyConfig, now_ms: int) -> Publication:
    time = now_ms // 1000
    durable = config.cache_duration > 0
    message_id, ulid = mint_with_ulid(now_ms)
    notification = Notification(
        v=SCHEMA_VERSION,
        ts=now_ms,
        id=message_id,
        time=time,
        event=event,
        expires=time + int(config.cache_duration) if durable else None,
        sequence_id=check_sequence(sequence_id),
    )
    return Publication(topic=topic, ulid=ulid, notification=notification, durable=durable)


def _poll_request(topic: str, poll_id: str, now_ms: int) -> Publication:
    """Tells a client to fetch one message elsewhere (section 4.10): nothing else of the request counts."""
    message_id, ulid = mint_with_ulid(now_ms)
    notification = Notification(
        v=SCHEMA_VERSION,
        ts=now_ms,
        id=message_id,
        time=now_ms // 1000,
        event=POLL_REQUEST,
        message=POLL_REQUEST_MESSAGE,
        poll_id=poll_id,
    )
    return Publication(topic=topic, ulid=ulid, notification=notification, durable=False)


def _email(address: str, config: NotifyConfig, mailbox: Mailboxes) -> str:
    """The address to send a mail to, if one is given and mails are sent; a malformed one is told apart."""
    if not address:
        return ""
    own = address.lower() in _OWN_EMAIL
    if not own and not is_address(address):
        raise Refusal.EMAIL_INVALID.error()
    if not config.smtp_sender_addr:
        raise Refusal.EMAIL_DISABLED.error("this server sends no e-mail")
    if not own and not config.smtp_sender_verify:
        return address
    known = mailbox()
    if known.anonymous:
        raise Refusal.EMAIL_ANONYMOUS.error("log in first")
    if own and known.primary:
        return known.primary
    if own or address.lower() not in known.verified:
        raise Refusal.EMAIL_UNVERIFIED.error("verify it in your account first" if not own else "you have none yet")
    return address


def _tags(listed: str) -> tuple[str, ...]:
    if not listed:
        return ()
    tags = tuple(split_list(listed))
    if len(",".join(tags).encode()) > MAX_TAGS_BYTES:
        raise Refusal.TAGS_TOO_LARGE.error(f"at most {MAX_TAGS_BYTES} bytes in all")
    return tags


def _deliver_at(delay: str, durable: bool, email: str, config: NotifyConfig, now_ms: int) -> int | None:
    if not delay:
        return None
    if not durable:
        raise Refusal.DELAY_WITHOUT_CACHE.error()
    if email:
        raise Refusal.DELAY_WITH_EMAIL.error()
    return parse_delay(delay, now_ms=now_ms, limit=config.message_delay_limit, least=config.message_delay_minimum)


def _actions(text: str) -> tuple[Action, ...]:
    return parse_actions(text) if text else ()


def _is_markdown(content_type: str) -> bool:
    return bool(content_type) and trim(content_type.partition(";")[0]).lower() == MARKDOWN_TYPE


def _attachment(chosen: PublishOptions) -> Attachment | None:
    """An external file: nothing is downloaded, name and URL are passed on."""
    if not chosen.attach:
        return None
    return Attachment(name=one_line(chosen.filename) or _name_in(chosen.attach), url=chosen.attach)


def _content(chosen: PublishOptions, body: bytes, attachment: Attachment | None, limit: int) -> tuple[str, str | None]:
    """Message text and encoding: the rows of section 4.5 from the second on."""
    if chosen.unified_push:
        return _kept(body[:limit], chosen.message)
    if attachment is not None:
        message = _cut(body, limit) if body else chosen.message
        return message or f"You received a file: {attachment.name}", None
    if chosen.filename:
        raise Refusal.ATTACHMENTS_DISALLOWED.error(f"a file name was given, but {_NO_UPLOADS}")
    if chosen.template:  # its text is no message: whoever serves templates has applied it before
        raise Refusal.TEMPLATE_FAILED.error("no template was applied")
    if not body:
        return chosen.message, None
    if len(body) >= limit:
        raise Refusal.ATTACHMENTS_DISALLOWED.error(f"a message of {limit} bytes or more is a file, but {_NO_UPLOADS}")
    try:
        return trim(without_nul(body.decode())), None
    except UnicodeDecodeError as exc:
        raise Refusal.ATTACHMENTS_DISALLOWED.error(f"a message that is not UTF-8 is a file, but {_NO_UPLOADS}") from exc


def _kept(body: bytes, message: str) -> tuple[str, str | None]:
    """A UnifiedPush body byte for byte. Text cannot hold a NUL, so a body with one is binary too."""
    if not body:
        return message, None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return b64encode(body).decode("ascii"), BASE64
    return text, None


def _cut(body: bytes, limit: int) -> str:
    """At most ``limit`` bytes of ``body`` as trimmed text; a character that the limit splits is dropped."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return trim(without_nul(decoder.decode(body[:limit], final=len(body) < limit)))
    except UnicodeDecodeError as exc:
        raise Refusal.MESSAGE_NOT_UTF8.error() from exc


def _name_in(url: str) -> str:
    """The last segment of the path of ``url``, or ``attachment`` if there is none."""
    path = url.partition("://")[2].partition("#")[0].partition("?")[0].partition("/")[2]
    name = trim(one_line(unquote(path)).rstrip("/").rpartition("/")[2])
    return "attachment" if name in ("", ".", "..") else name
