"""Visitors and their limits (sections 8.2 to 8.4): who is calling, and how much of the server that one may use."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal
from gbe.notify.ledger import Bucket, Ledger, LocalLedger

_DAY: Final = 86_400

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Visitor:
    """Somebody who uses the server: one address, or one network of them.

    Attributes:
        key: the network, as text.
        exempt: whether the limits of requests and of messages a day do not apply; that of streams does.
    """

    __slots__ = ("_config", "_ledger", "exempt", "key")

    def __init__(self, key: str, *, exempt: bool, config: NotifyConfig, ledger: Ledger) -> None:
        self.key, self.exempt = key, exempt
        self._config, self._ledger = config, ledger

    def take_request(self) -> None:
        """Spend one request. Raises ``NotifyError`` 42901."""
        config = self._config
        if not self.exempt and not self._ledger.take(
            self.key,
            Bucket.REQUESTS,
            burst=config.visitor_request_limit_burst,
            replenish=config.visitor_request_limit_replenish,
        ):
            raise Refusal.TOO_MANY_REQUESTS.error()

    def take_email(self) -> None:
        """Spend one e-mail. Raises ``NotifyError`` 42902."""
        burst, replenish = self._config.visitor_email_limit_burst, self._config.visitor_email_limit_replenish
        if not self._ledger.take(self.key, Bucket.EMAILS, burst=burst, replenish=replenish):
            raise Refusal.TOO_MANY_EMAILS.error()

    def emails_left(self) -> int:
        """How many more e-mails may be sent now."""
        burst, replenish = self._config.visitor_email_limit_burst, self._config.visitor_email_limit_replenish
        return self._ledger.left(self.key, Bucket.EMAILS, burst=burst, replenish=replenish)

    def take_topic(self) -> None:
        """Spend one topic that was not in use. Raises ``NotifyError`` 42911."""
        config = self._config
        burst, replenish = config.visitor_topic_creation_limit_burst, config.visitor_topic_creation_limit_replenish
        if not self.exempt and not self._ledger.take(self.key, Bucket.TOPICS, burst=burst, replenish=replenish):
            raise Refusal.TOO_MANY_NEW_TOPICS.error()

    def take_bandwidth(self, count: int, now_ms: int) -> bool:
        """Spend so many bytes of the day (UTC) of ``now_ms``, unix milliseconds, if they are left."""
        limit = self._config.visitor_attachment_daily_bandwidth_limit
        return self._ledger.take_bytes(self.key, count, day=now_ms // 1000 // _DAY, limit=limit)

    def use_bandwidth(self, count: int, now_ms: int) -> None:
        """Spend so many bytes of that day, or all that are left."""
        if count:
            self.take_bandwidth(min(count, self.bandwidth_left(now_ms)), now_ms)

    def bandwidth_left(self, now_ms: int) -> int:
        """Bytes of that day that are left."""
        spent = self._ledger.bytes_spent(self.key, day=now_ms // 1000 // _DAY)
        return max(0, self._config.visitor_attachment_daily_bandwidth_limit - spent)

    def take_message(self, now_ms: int) -> None:
        """Spend one message of the day (UTC) of ``now_ms``, unix milliseconds. Raises ``NotifyError`` 42908."""
        day = now_ms // 1000 // _DAY
        if not self.exempt and not self._ledger.take_message(self.key, day=day, limit=self._config.daily_message_limit):
            raise Refusal.MESSAGES_SPENT.error()

    def messages_spent(self, now_ms: int) -> int:
        """Messages of the day (UTC) of ``now_ms`` that are spent."""
        return self._ledger.messages_spent(self.key, day=now_ms // 1000 // _DAY)

    def open_stream(self) -> None:
        """Occupy a subscription until ``close_stream``. Raises ``NotifyError`` 42903."""
        if not self._ledger.open_stream(self.key, limit=self._config.visitor_subscription_limit):
            raise Refusal.TOO_MANY_SUBSCRIPTIONS.error()

    def close_stream(self) -> None:
        """Free a subscription."""
        self._ledger.close_stream(self.key)


class Visitors:
    """Finds the visitor behind a request by the caller's address.

    Args:
        exempt: networks that the limits of requests and messages do not concern.
        ledger: where visitors are counted; ``None`` counts in this process alone.
    """

    def __init__(self, config: NotifyConfig, exempt: Iterable[Network] = (), ledger: Ledger | None = None) -> None:
        self._config = config
        self._exempt = tuple(exempt)
        self._ledger = LocalLedger() if ledger is None else ledger  # an empty ledger is false
        self._visitor = lru_cache(maxsize=16_384)(self._identify)  # parsing an address costs more than the rest
        self._trusted = parse_networks(config.proxy_trusted_hosts)
        self._header = config.proxy_forwarded_header.strip().lower().encode("latin-1", "replace")

    def __len__(self) -> int:
        return len(self._ledger)

    def of_request(self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> Visitor:
        """The visitor behind a request.

        Args:
            client: address and port of the socket's other end; ``None`` for a Unix socket.
            headers: as ASGI has them; read only behind a proxy.
        """
        return self._visitor(self.address_of(client, headers))

    def address_of(self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address behind a request, as text; arguments as for ``of_request``."""
        address = client[0] if client else ""
        if self._config.behind_proxy:
            address = self._forwarded(headers) or address
        return address

    def known(self, key: str) -> Visitor:
        """The visitor of a key that somebody kept: who uploaded a file, for instance."""
        return Visitor(key, exempt=False, config=self._config, ledger=self._ledger)

    def _identify(self, address: str) -> Visitor:
        """The network that makes a visitor, and whether it is exempt."""
        parsed = parse_address(address)
        if parsed is None:
            return Visitor("unknown", exempt=False, config=self._config, ledger=self._ledger)
        bits = self._config.visitor_prefix_bits_ipv4 if parsed.version == 4 else self._config.visitor_prefix_bits_ipv6
        return Visitor(
            str(ipaddress.ip_network((parsed, bits), strict=False)),
            exempt=any(parsed.version == network.version and parsed in network for network in self._exempt),
            config=self._config,
            ledger=self._ledger,
        )

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
        address, bracket, port = text[1:].partition("]")
        return address if bracket and (not port or port.startswith(":")) else ""
    return text.partition(":")[0] if text.count(":") == 1 else text


def parse_address(text: str) -> Address | None:
    """An IP address, IPv4-mapped ones as IPv4, without the zone of a link-local one; ``None`` for anything else."""
    try:
        address = ipaddress.ip_address(text)
        if getattr(address, "scope_id", None) is not None:
            address = ipaddress.ip_address(text.partition("%")[0])
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
