"""Addresses of mail servers, as the configuration has them."""

from gbe.errors import ConfigError


def parse_address(key: str, value: str, *, host_needed: bool = True) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``. Raises ``ConfigError`` that names the key."""
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or (host_needed and not host) or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"notify.{key} is {value!r}; accepted: HOST:PORT, such as smtp.example.net:587")
    return host, int(port)
