"""The options of an ntfy server, and what each does here (section 9): one table for the configuration and for docs.

An option sets a key of gbe, or is accepted and has no effect, which is said when it is given. Names in the table are
ntfy's; in a file dashes and underscores are interchangeable, variables are ``NTFY_`` and the name in capitals.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

VARIABLE_PREFIX: Final = "NTFY_"

Read = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class NtfyOption:
    """One option.

    Attributes:
        name: as ntfy's documentation writes it.
        target: the key of gbe that it sets; empty: ``notify.`` and its name.
        note: what an operator who comes from ntfy should know.
        read: ntfy's way to write the value, in gbe's.
        ignored: why it has no effect, or an empty text.
        quiet: whether it is ignored without a word, because nothing is missing without it.
    """

    name: str
    target: str = ""
    note: str = ""
    read: Read | None = None
    ignored: str = ""
    quiet: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return VARIABLE_PREFIX + self.name.upper().replace("-", "_")

    def key(self, keys: Collection[str]) -> str | None:
        """Which of these keys it sets; ``None``: it has no effect."""
        target = self.target or "notify." + self.name.replace("-", "_")
        return target if not self.ignored and target in keys else None

    @property
    def why_not(self) -> str:
        """Why it has no effect."""
        return self.ignored or "not part of gbe yet"


def _is_given(value: object) -> bool:
    return value not in (None, "", False)


def _log_level(value: object) -> object:
    return {"trace": "debug", "warn": "warning", "fatal": "error"}.get(str(value).lower(), str(value).lower())


def _listen(value: object) -> object:
    """``:80`` and ``10.0.0.1:80`` are the same here; ``-`` keeps gbe's default."""
    return None if str(value) == "-" else str(value)


_ENGINE: Final = "messages and users are in the engine (`transport`, `state.engine`)"
_TLS: Final = "TLS is for the proxy in front"
_BILLING: Final = "there are no tiers and nothing is sold"
_CALLS: Final = "there are no phone calls"
_BANS: Final = "`events.auth.failure` events tell who was refused"

OPTIONS: Final[tuple[NtfyOption, ...]] = (
    NtfyOption("base-url"),
    NtfyOption("listen-http", "listen", "gbe listens on `127.0.0.1:8080` unless told otherwise.", _listen),
    NtfyOption("listen-https", ignored=_TLS),
    NtfyOption("key-file", ignored=_TLS),
    NtfyOption("cert-file", ignored=_TLS),
    NtfyOption("listen-unix", ignored="gbe listens on TCP"),
    NtfyOption("listen-unix-mode", ignored="gbe listens on TCP"),
    NtfyOption("cache-file", ignored=f"{_ENGINE}; `gbe notify import-ntfy --cache-file` moves them", quiet=True),
    NtfyOption("cache-duration", note="By default 72 h here."),
    NtfyOption("cache-batch-size", ignored=_ENGINE, quiet=True),
    NtfyOption("cache-batch-timeout", ignored=_ENGINE, quiet=True),
    NtfyOption("cache-startup-queries", ignored=_ENGINE, quiet=True),
    NtfyOption("auth-startup-queries", ignored=_ENGINE, quiet=True),
    NtfyOption("database-url", ignored=_ENGINE),
    NtfyOption("database-replica-urls", ignored=_ENGINE),
    NtfyOption(
        "auth-file",
        "notify.auth",
        "Any file switches access control on; the users in it come over with `gbe notify import-ntfy --auth-file`.",
        _is_given,
    ),
    NtfyOption("auth-default-access"),
    NtfyOption("auth-users"),
    NtfyOption("auth-access"),
    NtfyOption("auth-tokens"),
    NtfyOption("auth-access-cache", ignored="entries are always in memory", quiet=True),
    NtfyOption("behind-proxy"),
    NtfyOption("proxy-forwarded-header"),
    NtfyOption("proxy-trusted-hosts", note="Names are looked up once, when gbe starts."),
    NtfyOption(
        "attachment-cache-dir",
        "notify.attachments",
        "Any value switches uploads on, which needs `base-url`, an empty one off; files lie where `objects.url` says.",
        _is_given,
    ),
    NtfyOption("attachment-total-size-limit"),
    NtfyOption("attachment-file-size-limit"),
    NtfyOption("attachment-expiry-duration"),
    NtfyOption("template-dir"),
    NtfyOption("message-size-limit"),
    NtfyOption("message-delay-limit"),
    NtfyOption("keepalive-interval"),
    NtfyOption("manager-interval"),
    NtfyOption("global-topic-limit"),
    NtfyOption("disallowed-topics"),
    NtfyOption("visitor-request-limit-burst"),
    NtfyOption("visitor-request-limit-replenish"),
    NtfyOption("visitor-request-limit-exempt-hosts", note="Names are looked up once, when gbe starts."),
    NtfyOption("visitor-message-daily-limit"),
    NtfyOption("visitor-subscription-limit"),
    NtfyOption("visitor-email-limit-burst"),
    NtfyOption("visitor-email-limit-replenish"),
    NtfyOption("visitor-attachment-total-size-limit"),
    NtfyOption("visitor-attachment-daily-bandwidth-limit"),
    NtfyOption("visitor-topic-creation-limit-burst"),
    NtfyOption("visitor-topic-creation-limit-replenish"),
    NtfyOption("visitor-prefix-bits-ipv4"),
    NtfyOption("visitor-prefix-bits-ipv6"),
    NtfyOption("visitor-subscriber-rate-limiting"),
    NtfyOption("ban-file", ignored=_BANS),
    NtfyOption("ban-window", ignored=_BANS),
    NtfyOption("ban-threshold", ignored=_BANS),
    NtfyOption("ban-weights", ignored=_BANS),
    NtfyOption("smtp-sender-addr"),
    NtfyOption("smtp-sender-user"),
    NtfyOption("smtp-sender-pass"),
    NtfyOption("smtp-sender-from"),
    NtfyOption("smtp-sender-verify"),
    NtfyOption("smtp-server-listen"),
    NtfyOption("smtp-server-domain"),
    NtfyOption("smtp-server-addr-prefix"),
    NtfyOption("web-root"),
    NtfyOption("enable-login"),
    NtfyOption("enable-signup"),
    NtfyOption("enable-reservations"),
    NtfyOption("require-login"),
    NtfyOption("upstream-base-url"),
    NtfyOption("upstream-access-token"),
    NtfyOption("firebase-key-file", ignored="nothing is forwarded to Firebase"),
    NtfyOption("web-push-public-key"),
    NtfyOption("web-push-private-key"),
    NtfyOption("web-push-file", ignored="subscriptions are in the engine (`state.engine`)", quiet=True),
    NtfyOption("web-push-email-address"),
    NtfyOption("web-push-expiry-duration"),
    NtfyOption("web-push-expiry-warning-duration"),
    NtfyOption("enable-metrics", "http.metrics", "On by default here."),
    NtfyOption("metrics-listen-http", ignored="`/metrics` is on the port of everything else"),
    NtfyOption("profile-listen-http", ignored="there is no profiler to connect to"),
    NtfyOption("log-level", "log.level", "`trace` counts as `debug`.", _log_level),
    NtfyOption("log-format", "log.format"),
    NtfyOption("log-file", ignored="logs go to standard error"),
    NtfyOption("log-level-overrides", ignored="there is one level"),
    NtfyOption("twilio-account", ignored=_CALLS),
    NtfyOption("twilio-auth-token", ignored=_CALLS),
    NtfyOption("twilio-phone-number", ignored=_CALLS),
    NtfyOption("twilio-verify-service", ignored=_CALLS),
    NtfyOption("twilio-call-format", ignored=_CALLS),
    NtfyOption("stripe-secret-key", ignored=_BILLING),
    NtfyOption("stripe-webhook-key", ignored=_BILLING),
    NtfyOption("billing-contact", ignored=_BILLING),
)
_BY_NAME: Final = {option.name.replace("-", "_"): option for option in OPTIONS}
_BY_VARIABLE: Final = {option.variable: option for option in OPTIONS}


def option_named(name: str) -> NtfyOption | None:
    """The option of this name, written with dashes or underscores."""
    return _BY_NAME.get(name.replace("-", "_"))


def in_environment(environment: Mapping[str, str]) -> Iterator[tuple[NtfyOption, str]]:
    """The options among environment variables; others that begin with ``NTFY_`` are for clients."""
    for variable, text in environment.items():
        option = _BY_VARIABLE.get(variable)
        if option is not None and text:
            yield option, text


@dataclass(frozen=True, slots=True)
class Translated:
    """What an option comes to here.

    Attributes:
        key: the key of gbe that is set; ``None``: none.
        value: its value, still to be read.
        warning: what the operator should be told; may be empty.
    """

    key: str | None
    value: object
    warning: str


def translate(option: NtfyOption, value: object, keys: Collection[str]) -> Translated:
    """What an option with this value comes to; ``keys`` are those of gbe."""
    key = option.key(keys)
    if key is None:
        silent = option.quiet or not _is_given(value)
        return Translated(None, None, "" if silent else f"{option.name} has no effect: {option.why_not}")
    read = value if option.read is None else option.read(value)
    warning = f"{option.name} is - and has no effect: gbe listens in any case" if read is None else ""
    return Translated(None if read is None else key, read, warning)


def as_table(keys: Collection[str]) -> str:
    """The table for docs/ntfy-config.md, in Markdown."""
    rows = ["| ntfy's option | variable | here |", "|---|---|---|"]
    for option in OPTIONS:
        key = option.key(keys)
        here = f"no effect: {option.why_not}" if key is None else f"sets `{key}`"
        rows.append(f"| `{option.name}` | `{option.variable}` | {here}{'. ' + option.note if option.note else ''} |")
    return "\n".join(rows)
