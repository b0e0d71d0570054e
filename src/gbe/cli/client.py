"""What ``gbe publish`` and ``gbe subscribe`` share: which server, as whom, and what went wrong in one line.

They speak plain ntfy, so any ntfy-compatible server will do. What can go wrong, by what the caller can do about it:

GbeError
└── ClientError                 final as it stands; the text says why
    ├── UnreachableError        nothing was sent: the same call may succeed later
    ├── AnswerLostError         sent, but no complete answer came: it may have happened
    └── RefusedError            the server's own words, with ``http`` and ``code``
"""

import base64
import getpass
import random
import re
import socket
import ssl
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
import msgspec

import gbe
from gbe.errors import GbeError
from gbe.notify.topics import is_topic_name

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
USER_VARIABLE: Final = "NTFY_USER"  # the ntfy command reads the same; a GBE_ name would be a key of the server
TOKEN_VARIABLE: Final = "NTFY_TOKEN"  # noqa: S105 - the name of a variable

CONNECT_TIMEOUT: Final = 10.0
_LONGEST_ANSWER: Final = 1024 * 1024  # a reply is one message object; more is not from an ntfy server
_MAX_REDIRECTS: Final = 5
# a server of this machine is never behind the proxy that HTTP_PROXY names
_NO_PROXY: Final = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_BROKEN: Final = re.compile("peer closed|server disconnected", re.IGNORECASE)  # httpx words it at length
_PASSING: Final = frozenset({429, 503})
_UNCONFIRMED: Final = 50302  # gbe's own: the message may be stored, so sending it again may store it twice
_TOO_MANY_REQUESTS: Final = 42901  # the only limit that pauses cure within seconds; the others are quotas

# -- errors


class ClientError(GbeError):
    """The server cannot be used as asked."""


class UnreachableError(ClientError):
    """No connection, so nothing was sent.

    Attributes:
        temporary: whether waiting may help; it cannot if the name is unknown or the certificate is wrong.
    """

    def __init__(self, server: str, reason: str, *, temporary: bool) -> None:
        self.server, self.reason, self.temporary = server, reason, temporary
        hint = "; start it with `gbe serve`, or name another with --server" if server == DEFAULT_SERVER else ""
        super().__init__(f"cannot reach {server}: {reason}{hint}")


class AnswerLostError(ClientError):
    """The request was sent, and the answer did not come or broke off."""

    def __init__(self, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(f"{server} gave no complete answer: {reason}")


class RefusedError(ClientError):
    """The server answered, and not with what was asked for.

    Attributes:
        http: the status.
        code: ntfy's error code; 0 if the answer had none.
    """

    def __init__(self, server: str, http: int, code: int, text: str) -> None:
        self.server, self.http, self.code = server, http, code
        number = f"error {code}" if code else f"HTTP {http}"
        super().__init__(f"{server} refused: {printable(text)} ({number})")

    @property
    def temporary(self) -> bool:
        """Whether the same request may be granted a moment later: not so if a quota is used up."""
        return (
            self.http in _PASSING
            and self.code != _UNCONFIRMED
            and (self.http != 429 or self.code in (0, _TOO_MANY_REQUESTS))
        )


# -- text for terminals

# control characters, separators that terminals take for line ends, and what turns the direction of text around
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]")


def printable(text: str, *, keep: str = "") -> str:
    """``text`` without what a terminal would obey instead of show.

    Line breaks and tabs become blanks, everything else of that kind U+FFFD.

    Args:
        keep: characters to leave as they are, such as a newline.
    """
    text = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return _UNPRINTABLE.sub(lambda match: _shown(match[0], keep), text.replace("\r\n", "\n"))


def _shown(character: str, keep: str) -> str:
    if character in keep:
        return character
    return " " if character in "\t\n\r\u2028\u2029" else "\ufffd"


def printable_json(line: str) -> str:
    """A line of JSON with the same meaning that is safe on a terminal: what it would obey is written ``\\uXXXX``."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def local_time(seconds: int) -> str:
    """A moment on the clock of whoever reads it, from unix seconds."""
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


def notice(text: str) -> None:
    """Say something beside the output."""
    print(f"gbe: {text}", file=sys.stderr, flush=True)  # noqa: T201 - a program's own words


# -- which server, which topics


@dataclass(frozen=True, slots=True)
class Target:
    """Topics on a server.

    Attributes:
        server: its URL, without a slash at the end and without credentials.
        topics: as in the path: one name, or several with commas.
        userinfo: ``USER:PASSWORD`` if the URL had it, or an empty string.
    """

    server: str
    topics: str
    userinfo: str = ""

    def url(self, suffix: str = "") -> str:
        """Where to send requests about these topics."""
        return f"{self.server}/{self.topics}{suffix}"


def parse_target(topics: str, server: str | None) -> Target:
    """Read TOPIC and ``--server``.

    Args:
        topics: a name, names with commas, or the URL of a topic: ``https://ntfy.example.net/mytopic``.
        server: ``None`` is the server of this machine, or the one in the URL.

    Raises:
        ClientError: one of them is not what it should be.
    """
    if "://" in topics:
        if server is not None:
            raise ClientError("--server and the URL of a topic both name a server; give one of them")
        server, _, topics = topics.rstrip("/").rpartition("/")
    parts = _parse_server(DEFAULT_SERVER if server is None else server)
    names = [name.strip() for name in topics.split(",")]
    for name in names:
        if not is_topic_name(name):
            raise ClientError(
                f"{printable(name)!r} is not a topic: expected 1 to 64 of A-Z a-z 0-9 _ -, "
                "or a URL such as https://ntfy.example.net/mytopic"
            )
    userinfo, _, host = parts.netloc.rpartition("@")
    base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    return Target(base, ",".join(dict.fromkeys(names)), unquote(userinfo))


def _parse_server(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or printable(text) != text or " " in text:
        shown = "that" if "@" in text else repr(printable(text))  # there may be a password in it
        raise ClientError(f"{shown} is not the URL of a server; expected one such as https://ntfy.example.net")
    return parts


# -- as whom


def authorization(
    user: str | None, token: str | None, target: Target, environment: Mapping[str, str]
) -> dict[str, str]:
    """The ``Authorization`` header, or nothing.

    What is in the command, the URL included, beats the environment. A user without a password is asked for it.

    Args:
        user: ``USER:PASSWORD``, or ``USER``.

    Raises:
        ClientError: more than one way was chosen, or there is no terminal to ask on.
    """
    userinfo = target.userinfo
    if sum(map(bool, (user, token, userinfo))) > 1:
        raise ClientError("--user, --token and a user in the URL exclude one another")
    user = user or userinfo
    if not user and not token:
        token = environment.get(TOKEN_VARIABLE)
        user = "" if token else environment.get(USER_VARIABLE, "")
    if token:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ClientError("that token cannot be one: it has characters that no header can carry")
        return {"Authorization": f"Bearer {token}"}
    if user:
        name, colon, password = user.partition(":")
        pair = f"{name}:{password if colon else _ask_password(name, target.server)}"
        encoded = base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")
        return {"Authorization": f"Basic {encoded}"}
    return {}


def _ask_password(name: str, server: str) -> str:
    with warnings.catch_warnings():
        # without a terminal getpass would read the password, or the message, from standard input
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"password of {printable(name)} on {server}: ")
        except (getpass.GetPassWarning, EOFError):
            raise ClientError("--user without :PASSWORD asks for it, and there is no terminal to ask on") from None


# -- requests


def open_client(headers: Mapping[str, str], *, read_timeout: float) -> httpx.Client:
    """A client that verifies certificates and follows no redirect unless told to.

    Args:
        headers: sent with every request; credentials among them stay with the server they are for.
        read_timeout: seconds without a byte after which an answer counts as lost.
    """
    return httpx.Client(
        headers={"User-Agent": f"gbe/{gbe.__version__}", **headers},
        timeout=httpx.Timeout(CONNECT_TIMEOUT, read=read_timeout, write=30.0),
        mounts=dict.fromkeys(_NO_PROXY),
        max_redirects=_MAX_REDIRECTS,
    )


@contextmanager
def translated(server: str) -> Iterator[None]:
    """httpx's errors as ours: the one place that knows both."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as exc:
        reason, temporary = _reason(exc)
        raise UnreachableError(server, reason, temporary=temporary) from exc
    except httpx.TooManyRedirects as exc:
        raise ClientError(f"{server} redirects in a circle") from exc
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as exc:
        raise ClientError(f"{server} cannot be asked that: {printable(str(exc))}") from exc
    except httpx.RequestError as exc:
        raise AnswerLostError(server, _reason(exc)[0]) from exc


def _reason(exc: httpx.RequestError) -> tuple[str, bool]:
    """What happened in a few words, and whether it may pass."""
    if isinstance(exc, httpx.RemoteProtocolError) and _BROKEN.match(str(exc)):
        return "the connection broke", True
    cause: BaseException | None = exc
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {printable(cause.verify_message)}", False
            case ssl.SSLError():
                return f"TLS fails: {printable(cause.reason or str(cause))}", False
            case socket.gaierror():
                return "its name is not known", cause.errno == socket.EAI_AGAIN
            case TimeoutError():
                return "it does not answer in time", True
            case OSError() if cause.strerror:
                return cause.strerror.lower(), True
        cause = cause.__cause__ or cause.__context__
    return printable(str(exc)).lower() or "it does not answer", True


class _ErrorBody(msgspec.Struct):
    error: str
    code: int = 0


def refusal(server: str, response: httpx.Response) -> ClientError:
    """The error that a streamed response other than 200 stands for; reads its body."""
    status = response.status_code
    if response.is_redirect:
        location = printable(response.headers.get("location", ""))
        return ClientError(f"{server} redirects to {location}; if you trust that, name it as the server")
    try:
        body = msgspec.json.decode(read_answer(server, response), type=_ErrorBody)
    except (msgspec.DecodeError, ClientError):
        return RefusedError(server, status, 0, response.reason_phrase or "no reason given")
    return RefusedError(server, status, body.code, body.error)


def read_answer(server: str, response: httpx.Response) -> bytes:
    """The body of a streamed response.

    Raises:
        ClientError: it is longer than any answer of an ntfy server.
    """
    body = bytearray()
    with translated(server):
        for piece in response.iter_bytes():
            body += piece
            if len(body) > _LONGEST_ANSWER:
                raise not_ntfy(server)
    return bytes(body)


def not_ntfy(server: str) -> ClientError:
    """The error for a server that answers something else."""
    return ClientError(f"{server} does not answer as an ntfy server does; is the URL right?")


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait between attempts: doubling, and spread so that many clients do not come back at once."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains from guessing it
        pause = min(pause * 2, longest)
