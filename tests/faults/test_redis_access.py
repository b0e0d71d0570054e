"""Who may connect: wrong passwords, users without permissions, passwords that rotate, TLS and certificates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from redis.credentials import CredentialProvider
from tests.faults.redis_faults import OPTIONS, config_for, new_root
from tests.redis_engines import USER, RedisCluster, RedisProcess, TlsFiles
from tests.waiting import eventually, take

from gbe.errors import ConfigError, TransportUnavailableError, UnsupportedEngineError
from gbe.ids import new_ulid
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault

EVERYTHING = ("~*", "&*", "+@all")


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """What is opened here is closed at the test's end."""
    async with AsyncExitStack() as stack:
        yield stack


async def works(transport: RedisTransport) -> None:
    """Publish, consume and tail."""
    root = await new_root(transport)
    async with transport.tail([f"{root}.*"]) as tail, transport.consume(f"{root}.x", "g", OPTIONS) as member:
        id = await transport.publish(f"{root}.x", b"")
        (delivery,) = await take(aiter(member), 1)
        await delivery.ack()
        assert (await take(aiter(tail), 1))[0].envelope.id == delivery.envelope.id == id


# -- passwords and permissions


@pytest.mark.parametrize("user", [f"{USER}:wrong@", "nobody:s3cret@", "", ":wrong@"])
async def test_wrong_credentials_are_refused_at_once(tmp_path: Path, user: str) -> None:
    """With the reason, and without the password; nobody waits for them to become right."""
    with RedisProcess(tmp_path / "redis", acl=EVERYTHING) as server:
        config = replace(config_for(server.url.replace("://", f"://{user}")), connect_timeout=60.0)
        with pytest.raises(UnsupportedEngineError, match=r"WRONGPASS|NOAUTH|[Aa]uthentication|password") as caught:
            async with asyncio.timeout(10.0):
                await RedisTransport.open(config)
        assert "wrong" not in str(caught.value).replace("WRONGPASS", "")


@pytest.mark.parametrize("missing", ["-xadd", "-set", "-evalsha", "-eval"])
async def test_a_publish_without_permission_fails_clearly_and_stores_nothing(tmp_path: Path, missing: str) -> None:
    """Once the permission is there, the same publish stores its message, once."""
    with RedisProcess(tmp_path / "redis", acl=EVERYTHING) as server:
        async with await RedisTransport.open(config_for(server.user_url)) as transport:
            subject = f"{await new_root(transport)}.x"
            server.call("ACL", "SETUSER", USER, missing)
            server.call("SCRIPT", "FLUSH")
            id = new_ulid()
            for _ in range(2):
                with pytest.raises(TransportUnavailableError, match=r"permission|can't run this command"):
                    async with asyncio.timeout(10.0):
                        await transport.publish(subject, b"", id=id, idempotency_key="k")
            server.call("ACL", "SETUSER", USER, missing.replace("-", "+"))
            assert await transport.publish(subject, b"", id=id, idempotency_key="k") == id
            assert [message.envelope.id for message in await transport.read(subject)] == [id]


async def test_a_user_without_channels_is_told_so(tmp_path: Path) -> None:
    """Wake-ups are part of the bargain: who may not have them hears of it when opening."""
    with (
        RedisProcess(tmp_path / "redis", acl=("~*", "resetchannels", "+@all")) as server,
        pytest.raises((UnsupportedEngineError, TransportUnavailableError), match=r"NOPERM.*channels"),
    ):
        async with asyncio.timeout(10.0):
            await RedisTransport.open(config_for(server.user_url))


async def test_a_permission_that_is_taken_away_and_given_back(tmp_path: Path) -> None:
    """Consuming and tailing stop meanwhile, and go on by themselves."""
    with RedisProcess(tmp_path / "redis", acl=EVERYTHING) as server:
        async with await RedisTransport.open(config_for(server.user_url)) as transport:
            root = await new_root(transport)
            async with (
                transport.tail([f"{root}.*"]) as tail,
                transport.consume(f"{root}.x", "g", OPTIONS) as member,
                transport.consume(f"{root}.*", "h", OPTIONS) as wildcard,
            ):
                server.call("ACL", "SETUSER", USER, "-xrange", "-xreadgroup", "-ssubscribe")
                server.call("CLIENT", "KILL", "TYPE", "pubsub")
                id = await transport.publish(f"{root}.x", b"")
                await asyncio.sleep(1.0)
                server.call("ACL", "SETUSER", USER, "+@all")
                for deliveries in (member, wildcard):
                    (delivery,) = await take(aiter(deliveries), 1)
                    await delivery.ack()
                    assert delivery.envelope.id == id
                assert (await take(aiter(tail), 1))[0].envelope.id == id


# -- providers


class RotatingPasswords(CredentialProvider):
    """As a provider of tokens: the password of this moment."""

    password: ClassVar[str] = ""
    asked: ClassVar[int] = 0
    fails: ClassVar[bool] = False

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()

    def get_credentials(self) -> tuple[str, str]:
        type(self).asked += 1
        if self.fails:
            raise RuntimeError("the service of tokens is away")
        return USER, self.password


def rotate(server: RedisProcess, password: str) -> None:
    """The server knows the new one only."""
    server.call("ACL", "SETUSER", USER, "resetpass", f">{password}")


async def test_passwords_rotate(tmp_path: Path) -> None:
    """Each connection asks for the password of its moment; between the two sides' changes, publishes wait."""
    RotatingPasswords.password, RotatingPasswords.fails = "first", False
    with RedisProcess(tmp_path / "redis", acl=EVERYTHING) as server:
        rotate(server, "first")
        config = replace(config_for(server.url), credential_provider=f"{__name__}:RotatingPasswords")
        async with await RedisTransport.open(config) as transport:
            root = await new_root(transport)
            await works(transport)
            for password in ("second", "third"):
                asked = RotatingPasswords.asked
                rotate(server, password)
                server.call("CLIENT", "KILL", "USER", USER)
                publishing = asyncio.create_task(transport.publish(f"{root}.x", b""))
                await eventually(lambda asked=asked: RotatingPasswords.asked > asked + 1, "attempts to connect")
                RotatingPasswords.password = password
                await publishing
                await works(transport)


async def test_a_provider_that_fails_for_a_while(tmp_path: Path) -> None:
    """Is asked again."""
    RotatingPasswords.password, RotatingPasswords.fails = "first", False
    with RedisProcess(tmp_path / "redis", acl=EVERYTHING) as server:
        rotate(server, "first")
        config = replace(config_for(server.url), credential_provider=f"{__name__}:RotatingPasswords")
        async with await RedisTransport.open(config) as transport:
            root = await new_root(transport)
            RotatingPasswords.fails = True
            server.call("CLIENT", "KILL", "USER", USER)
            asked = RotatingPasswords.asked
            publishing = asyncio.create_task(transport.publish(f"{root}.x", b""))
            await eventually(lambda: RotatingPasswords.asked > asked, "an attempt to connect")
            RotatingPasswords.fails = False
            await publishing
            await works(transport)


async def test_a_provider_that_is_not_there_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    """And is told when opening."""
    with RedisProcess(tmp_path / "redis") as server:
        config = replace(config_for(server.url), credential_provider="no.such.module:Provider", connect_timeout=3.0)
        with pytest.raises((ConfigError, TransportUnavailableError), match=r"no\.such\.module"):
            await RedisTransport.open(config)


# -- TLS


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    """An authority, and a certificate of it."""
    return TlsFiles.make(tmp_path / "files")


async def test_tls_with_a_single_server(tmp_path: Path, tls: TlsFiles) -> None:
    """It works with the right authority, also after a restart; with another, or none, nobody gets in."""
    other = TlsFiles.make(tmp_path / "other")
    with RedisProcess(tmp_path / "redis", tls=tls, fsync="always") as server:
        async with await RedisTransport.open(replace(config_for(server.url), tls_ca=tls.ca)) as transport:
            await works(transport)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await works(transport)
        for authority in (other.ca, None):
            config = replace(config_for(server.url), tls_ca=authority, connect_timeout=1.0)
            with pytest.raises((TransportUnavailableError, UnsupportedEngineError), match=r"certificate|CERTIFICATE"):
                await RedisTransport.open(config)
        plain = replace(config_for(server.url.replace("rediss", "redis")), connect_timeout=1.0)
        with pytest.raises(TransportUnavailableError):
            await RedisTransport.open(plain)


async def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    """The server asks for one: who has none stays outside."""
    files = TlsFiles.make(tmp_path / "files", mutual=True)
    with RedisProcess(tmp_path / "redis", tls=files) as server:
        config = replace(config_for(server.url), tls_ca=files.ca, connect_timeout=1.0)
        async with await RedisTransport.open(
            replace(config, tls_cert=files.certificate, tls_key=files.key)
        ) as transport:
            await works(transport)
        with pytest.raises(TransportUnavailableError):
            await RedisTransport.open(config)


async def test_tls_to_a_server_that_speaks_none(tmp_path: Path, tls: TlsFiles) -> None:
    """Says what may be the matter."""
    with RedisProcess(tmp_path / "redis") as server:
        config = replace(config_for(server.url.replace("redis", "rediss")), tls_ca=tls.ca, connect_timeout=1.0)
        with pytest.raises(TransportUnavailableError, match=r"TLS|SSL"):
            await RedisTransport.open(config)


async def test_tls_with_a_cluster(tmp_path: Path, tls: TlsFiles) -> None:
    """Through all of its nodes, a failover included; with another authority nobody gets in."""
    other = TlsFiles.make(tmp_path / "other")
    with RedisCluster(tmp_path / "cluster", tls=tls, acl=EVERYTHING, node_timeout_ms=1000) as cluster:
        async with await RedisTransport.open(replace(config_for(cluster.user_url), tls_ca=tls.ca)) as transport:
            for _ in range(3):
                await works(transport)
            await asyncio.to_thread(cluster.failover, cluster.master_of(0))
            for _ in range(3):
                await works(transport)
        config = replace(config_for(cluster.user_url), tls_ca=other.ca, connect_timeout=1.0)
        with pytest.raises(TransportUnavailableError, match=r"certificate|CERTIFICATE"):
            await RedisTransport.open(config)
