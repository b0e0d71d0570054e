"""Visitors and their limits (sections 8.2 to 8.4): who is calling, and how much of the server that one may use."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal

MAX_VISITORS: Final = 100_000
"""Visitors remembered at a time; beyond them the one idle for longest is forgotten, with an empty record."""
_FORGET_AFTER: Final = 24 * 3600.0
_DAY: Final = 86_400

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Visitor:
    """What one visitor has used.

    Attributes:
        exempt: whether the limits on requests and on messages of the day do not apply.
    """

    __slots__ = ("_day", "_messages", "_refilled_at", "_streams", "exempt", "key", "seen_at")

    def __init__(self, key: str, *, exempt: bool) -> None:
        self.key, self.exempt = key, exempt
        # when the bucket will be full again (generic cell rate algorithm): one number instead of a count and a time
        self._refilled_at = 0.0
        self._day = 0
        self._messages = 0
        self._streams = 0
        self.seen_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether a stream is open."""
        return self._streams > 0

    def take_request(self, config: NotifyConfig, now: float) -> None:
        """Spend one request; ``now`` in monotonic seconds. Raises ``NotifyError`` 42901."""
        if self.exempt:
            return
        cost = config.visitor_request_limit_replenish
        refilled_at = max(self._refilled_at, now) + cost
        if refilled_at - now > config.visitor_request_limit_burst * cost:
            raise Refusal.TOO_MANY_REQUESTS.error()
        self._refilled_at = refilled_at

    def take_message(self, config: NotifyConfig, now_ms: int) -> None:
        """Spend one message of the day (UTC). Raises ``NotifyError`` 42908."""
        if self.exempt:
            return
        day = now_ms // 1000 // _DAY
        if day != self._day:
            self._day, self._messages = day, 0
        if self._messages >= config.daily_message_limit:
            raise Refusal.MESSAGES_SPENT.error()
        self._messages += 1

    def open_stream(self, config: NotifyConfig) -> None:
        """Occupy a subscription until ``close_stream``. Raises ``NotifyError`` 42903."""
        if self._streams >= config.visitor_subscription_limit and not self.exempt:
            raise Refusal.TOO_MANY_SUBSCRIPTIONS.error()
        self._streams += 1

    def close_stream(self) -> None:
        """Free a subscription."""
        self._streams -= 1


class Visitors:
    """All visitors of this process, found by the address of the caller."""

    def __init__(self, config: NotifyConfig, exempt: Iterable[Network] = ()) -> None:
        self._config = config
        self._exempt = tuple(exempt)
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._identity = lru_cache(maxsize=16_384)(self._identify)  # parsing an address costs more than the rest
        self._trusted = parse_networks(config.proxy_trusted_hosts)
        self._header = config.proxy_forwarded_header.strip().lower().encode("latin-1", "replace")

    def __len__(self) -> int:
        return len(self._visitors)

    def of_request(self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> Visitor:
        """The visitor behind a request.

        Args:
            client: address and port of the socket's other end; ``None`` for a Unix socket.
            headers: as ASGI has them; read only behind a proxy.
        """
        address = client[0] if client else "0.0.0.0"  # noqa: S104 - not bound to: the one visitor without an address
        if self._config.behind_proxy:
            address = self._forwarded(headers) or address
        key, exempt = self._identity(address)
        now = time.monotonic()
        visitor = self._visitors.get(key)
        if visitor is None:
            self._forget(now)
            visitor = self._visitors[key] = Visitor(key, exempt=exempt)
        else:
            self._visitors.move_to_end(key)
        visitor.seen_at = now
        return visitor

    def _identify(self, address: str) -> tuple[str, bool]:
        """The network that makes a visitor, and whether it is exempt."""
        parsed = parse_address(address)
        if parsed is None:
            return "unknown", False
        bits = self._config.visitor_prefix_bits_ipv4 if parsed.version == 4 else self._config.visitor_prefix_bits_ipv6
        exempt = any(parsed.version == network.version and parsed in network for network in self._exempt)
        return str(ipaddress.ip_network((parsed, bits), strict=False)), exempt

    def _forget(self, now: float) -> None:
        while self._visitors:
            key, oldest = next(iter(self._visitors.items()))
            if oldest.is_connected:
                self._visitors.move_to_end(key)
                if len(self._visitors) <= MAX_VISITORS:
                    return
                key, oldest = next(iter(self._visitors.items()))
            if len(self._visitors) < MAX_VISITORS and now - oldest.seen_at < _FORGET_AFTER:
                return
            del self._visitors[key]

    def _forwarded(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The right-most address that is not a proxy's; ``None`` if the header has no usable one."""
        values = [value.decode("latin-1") for name, value in headers if name == self._header]
        for part in reversed(",".join(values).split(",")):
            address = parse_address(_address_in(part))
            if address is None:
                return None
            if not any(address.version == network.version and address in network for network in self._trusted):
                return str(address)
        return None


def _address_in(part: str) -> str:
    """The address in one element of X-Forwarded-For, or of RFC 7239's Forwarded (``for="[2001:db8::1]:80"``)."""
    text = part.strip()
    for pair in text.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip().lower() == "for":
            text = value.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def parse_address(text: str) -> Address | None:
    """An IP address, IPv4-mapped ones as IPv4; ``None`` for anything else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def parse_networks(hosts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and prefixes as networks; names are left out (see ``names_among``)."""
    networks: list[Network] = []
    for host in hosts:
        try:
            networks.append(ipaddress.ip_network(host.strip(), strict=False))
        except ValueError:
            continue
    return tuple(networks)


def names_among(hosts: Iterable[str]) -> tuple[str, ...]:
    """What is neither address nor prefix: host names, which somebody has to look up."""
    names: list[str] = []
    for host in hosts:
        try:
            ipaddress.ip_network(host.strip(), strict=False)
        except ValueError:
            names.append(host.strip())
    return tuple(names)
