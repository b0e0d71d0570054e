"""Which addresses a subscription may name: those of the browsers' vendors, by the host itself.

A pattern over the whole URL is what CVE-2026-39087 was: ``https://evil.example/x.google.com/`` matches one. So the
URL is taken apart first, and what is compared is the host, label by label from its end.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

VENDORS: Final = (
    "fcm.googleapis.com",
    "push.services.mozilla.com",
    "notify.windows.com",
    "push.apple.com",
)
"""Hosts, and what lies below them: Chrome, Firefox, Edge, Safari."""

MAX_ENDPOINT: Final = 2000
_CHARACTERS: Final = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('"<>\\^`{|}')


def is_known_endpoint(endpoint: str, hosts: Iterable[str]) -> bool:
    """Whether ``endpoint`` is an ``https`` URL of one of these hosts, or of one below them, on the usual port.

    Args:
        hosts: lower case; one that names a port (``localhost:8443``) stands for that port alone.
    """
    if not 0 < len(endpoint) <= MAX_ENDPOINT or not _CHARACTERS.issuperset(endpoint):
        return False
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not host or "@" in parts.netloc or parts.fragment:
        return False
    name = host if port in (None, 443) else f"{host}:{port}"
    return any(name == known or name.endswith(f".{known}") for known in hosts)
