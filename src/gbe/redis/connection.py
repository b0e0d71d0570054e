"""One open connection, as redis-py makes it, used in our way: pipelined, without a round trip for each command."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import hiredis
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from gbe.redis.config import Address, RedisConfig
from gbe.redis.credentials import load_provider
from gbe.redis.errors import LinkLostError, RedisRefusedError, described
from gbe.redis.protocol import Reply

_READ_SIZE: Final = 256 * 1024


class PipelinedConnection(Connection):
    """redis-py opens, encrypts and authenticates; from then on bytes go in and out here."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket; they wait in memory if it is busy."""
        writer = self._writer
        if writer is None:
            raise LinkLostError("the connection is closed", sent=False)
        with _lost_sockets_told():
            writer.write(data)

    async def drain(self) -> None:
        """Wait while more is in memory than the socket's high-water mark."""
        if self._writer is not None:
            with _lost_sockets_told():
                await self._writer.drain()

    async def replies(self) -> AsyncIterator[list[Reply]]:
        """What the server says, in batches as they arrive, until it closes the connection."""
        parser = hiredis.Reader(notEnoughData=_NOTHING)
        reader = self._reader
        while reader is not None and (data := await reader.read(_READ_SIZE)):
            parser.feed(data)
            found = []
            while (reply := parser.gets()) is not _NOTHING:
                found.append(reply)
            if found:
                yield found

    def abort(self) -> None:
        """Close at once; safe to repeat."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()


_NOTHING: Final = object()


@contextmanager
def _lost_sockets_told() -> Iterator[None]:
    """uvloop says ``RuntimeError`` where a socket has failed a moment ago and its reader has yet to hear of it."""
    try:
        yield
    except RuntimeError as exc:
        raise LinkLostError(f"the connection is closed: {exc}", sent=False) from exc


class PipelinedTlsConnection(PipelinedConnection, SSLConnection):
    """The same, encrypted."""


async def connect(config: RedisConfig, address: Address) -> PipelinedConnection:
    """Open a connection to a node.

    Raises:
        LinkLostError: nobody there, no answer in time, a certificate that does not fit, or credentials of a provider
            that are wrong at this moment.
        RedisRefusedError: the credentials are wrong, or the user lacks a permission.
        ConfigError: the credential provider cannot be loaded.
    """
    connection = make(config, address)
    try:
        async with asyncio.timeout(config.stall_timeout):  # the handshake too: a process that is stopped still accepts
            await connection.connect()  # type: ignore[no-untyped-call]
    except TimeoutError as exc:
        connection.abort()
        hint = " (does it speak TLS there?)" if config.endpoint.is_tls else ""
        raise LinkLostError(f"Redis at {address} does not answer{hint}", sent=False) from exc
    except (AuthenticationError, NoPermissionError) as exc:
        connection.abort()
        reason = f"Redis at {address} refuses the credentials: {exc}"
        if config.credential_provider is not None:  # it may have others the next time: they rotate
            raise LinkLostError(reason, sent=False) from exc
        raise RedisRefusedError(reason) from exc
    except (RedisError, OSError, ValueError) as exc:
        connection.abort()
        raise LinkLostError(f"Redis at {address}: {described(exc)}", sent=False) from exc
    except BaseException:
        connection.abort()
        raise
    return connection


def make(config: RedisConfig, address: Address) -> PipelinedConnection:
    """A connection that is not open yet."""
    endpoint = config.endpoint
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "client_name": re.sub(r"\s", "-", config.name),
        "socket_timeout": None,  # deadlines and dead peers are the link's business
        "socket_connect_timeout": min(config.connect_timeout, config.stall_timeout),
        "protocol": 2,
    }
    if config.credential_provider is not None:
        options["credential_provider"] = load_provider(config.credential_provider)
    else:
        options["username"] = config.user or endpoint.user
        options["password"] = config.password or endpoint.password
    if not endpoint.is_tls:
        return PipelinedConnection(**options)
    files = (("ssl_ca_certs", config.tls_ca), ("ssl_certfile", config.tls_cert), ("ssl_keyfile", config.tls_key))
    options |= {name: str(path) for name, path in files if path is not None}
    return PipelinedTlsConnection(**options)
