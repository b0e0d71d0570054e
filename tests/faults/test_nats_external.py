"""NATS servers of other people: credentials, TLS, permissions, and engines that lack what gbe needs."""

import asyncio
import base64
import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import nkeys
import pytest
import trustme
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.nats_cluster import Server, documented_permissions, everything
from tests.waiting import eventually, first

from gbe.errors import ConfigError, TransportError, TransportUnavailableError, UnsupportedEngineError
from gbe.subjects import matches
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport

pytestmark = pytest.mark.fault

USER, PASSWORD = "gbe", "pa:ss@w/ord%"
IN_A_URL = "pa%3Ass%40w%2Ford%25"
PROMPTLY = 20.0
"""Seconds, with room for a machine that others use too; and less than half of:"""
PATIENT_CONNECT = 60.0
"""The connect timeout of those tests: what ends sooner was not ended by it."""

WITH_PASSWORD = {"authorization": {"user": USER, "password": PASSWORD}}
WITH_TOKEN = {"authorization": {"token": "t0ken"}}
STREAM = StreamConfig(name="gbe-a", subjects=("gbe.a.>",))


async def works(config: NatsConfig) -> None:
    """Open, store, read back."""
    async with await NatsTransport.open(config) as transport:
        await transport.ensure_stream(STREAM)
        id = await transport.publish("gbe.a.x", b"hello")
        (stored,) = await transport.read("gbe.a.x", start=EARLIEST)
        assert stored.envelope.id == id


async def refusal(config: NatsConfig) -> str:
    """The text with which opening fails, promptly."""
    started = time.monotonic()
    with pytest.raises(TransportUnavailableError) as caught:
        await NatsTransport.open(replace(config, connect_timeout=PATIENT_CONNECT))
    assert time.monotonic() - started < PROMPTLY
    return str(caught.value)


# -- credentials


@pytest.mark.parametrize("way", ["config", "url"])
async def test_a_user_and_password_open_the_connection(tmp_path: Path, way: str) -> None:
    """In the configuration as they are, in a URL percent-encoded."""
    async with Server(tmp_path, WITH_PASSWORD) as server:
        if way == "config":
            await works(NatsConfig(urls=(server.url,), user=USER, password=PASSWORD))
        else:
            await works(NatsConfig(urls=(f"nats://{USER}:{IN_A_URL}@{server.address}",)))


@pytest.mark.parametrize("way", ["config", "url"])
async def test_a_token_opens_the_connection(tmp_path: Path, way: str) -> None:
    """A URL with a user name alone carries a token."""
    async with Server(tmp_path, WITH_TOKEN) as server:
        if way == "config":
            await works(NatsConfig(urls=(server.url,), token="t0ken"))
        else:
            await works(NatsConfig(urls=(f"nats://t0ken@{server.address}",)))


@pytest.mark.parametrize("way", ["config", "url", "token", "none"])
async def test_wrong_credentials_fail_at_once_and_stay_secret(
    tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that says no is not asked again until the connect timeout, and nobody reads the password in a log."""
    caplog.set_level(logging.DEBUG, "gbe")
    async with Server(tmp_path, WITH_PASSWORD) as server:
        config = {
            "config": NatsConfig(urls=(server.url,), user=USER, password="hunter2"),
            "url": NatsConfig(urls=(f"nats://{USER}:hunter2@{server.address}",)),
            "token": NatsConfig(urls=(server.url,), token="hunter2"),
            "none": NatsConfig(urls=(server.url,)),
        }[way]
        text = await refusal(config)
    assert "authorization violation" in text.lower()
    assert server.address in text
    assert "hunter2" not in text + caplog.text + repr(config)


def test_a_url_that_cannot_be_used_is_shown_without_its_password() -> None:
    """Even one whose password holds an unescaped @."""
    with pytest.raises(ConfigError) as caught:
        NatsConfig(urls=("http://gbe:hun@ter2@localhost:4222",))
    assert "localhost:4222" in str(caught.value)
    assert "ter2" not in str(caught.value)


@dataclass(frozen=True)
class Operator:
    """An operator with a system account and one that has JetStream."""

    operator: Any
    system: Any
    account: Any

    @classmethod
    def make(cls) -> "Operator":
        return cls(
            *(key(p) for p in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_ACCOUNT))
        )

    def server_config(self) -> dict[str, Any]:
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        claims = {"type": "account", "version": 2}
        return {
            "operator": jwt(self.operator, self.operator, "operator", {"type": "operator", "version": 2}),
            "resolver": "MEMORY",
            "system_account": public(self.system),
            "resolver_preload": {
                public(self.system): jwt(
                    self.operator, self.system, "SYS", claims | {"limits": limits | {"wildcards": True}}
                ),
                public(self.account): jwt(
                    self.operator, self.account, "gbe", claims | {"limits": limits | storage | {"wildcards": True}}
                ),
            },
        }

    def credentials(self, *, expires_in: float | None = None, account: Any = None) -> str:
        """A user's credentials file."""
        user = key(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        token = jwt(account or self.account, user, "service", claims, expires_in)
        return (
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{bytes(user.seed).decode()}\n------END USER NKEY SEED------\n"
        )


def key(prefix: int) -> Any:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def public(pair: Any) -> str:
    return bytes(pair.public_key).decode()


def jwt(issuer: Any, subject: Any, name: str, claims: Mapping[str, Any], expires_in: float | None = None) -> str:
    now = time.time()
    body: dict[str, Any] = {
        "iss": public(issuer),
        "sub": public(subject),
        "name": name,
        "iat": int(now),
        "nats": claims,
    }
    if expires_in is not None:
        body["exp"] = int(now + expires_in)
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    signed = f"{encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{encoded(body)}"
    return f"{signed}.{unpadded(issuer.sign(signed.encode()))}"


def encoded(part: Mapping[str, Any]) -> str:
    return unpadded(json.dumps(part).encode())


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_a_credentials_file_opens_the_connection(tmp_path: Path) -> None:
    """A user of an operator's account, proven by signature: the server knows no secret."""
    operator, file = Operator.make(), tmp_path / "gbe.creds"
    file.write_text(operator.credentials())
    async with Server(tmp_path / "nats", operator.server_config()) as server:
        await works(NatsConfig(urls=(server.url,), credentials_file=file))


async def test_a_credentials_file_of_a_stranger_fails_at_once(tmp_path: Path) -> None:
    """A user whose account the operator has not signed."""
    operator, file = Operator.make(), tmp_path / "gbe.creds"
    file.write_text(operator.credentials(account=key(nkeys.PREFIX_BYTE_ACCOUNT)))
    async with Server(tmp_path / "nats", operator.server_config()) as server:
        text = await refusal(NatsConfig(urls=(server.url,), credentials_file=file))
    assert "authorization violation" in text.lower()


async def test_expired_credentials_are_read_again_from_their_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ends the connection of an expired user; who has put a new file in place by then sees nothing of it."""
    operator, file = Operator.make(), tmp_path / "gbe.creds"
    file.write_text(operator.credentials(expires_in=3))
    async with Server(tmp_path / "nats", operator.server_config()) as server:
        config = NatsConfig(urls=(server.url,), credentials_file=file)
        async with await NatsTransport.open(config) as transport:
            await transport.ensure_stream(STREAM)
            async with transport.tail(["gbe.a.x"]) as tail:
                file.write_text(operator.credentials())
                await eventually(lambda: "expired" in caplog.text, "the user has expired")
                id = await transport.publish("gbe.a.x", b"still here")
                assert (await first(tail)).envelope.id == id


# -- TLS


@dataclass(frozen=True)
class Papers:
    """An authority, a server's certificate for ``localhost``, a client's, and an authority that signed neither."""

    folder: Path

    @classmethod
    def write(cls, folder: Path) -> "Papers":
        folder.mkdir(parents=True)
        authority, stranger = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        stranger.cert_pem.write_to_path(folder / "stranger.pem")
        for name, certificate in (
            ("server", authority.issue_cert("localhost")),
            ("client", authority.issue_cert("gbe@example.org")),
            ("stranger-client", stranger.issue_cert("gbe@example.org")),
        ):
            certificate.private_key_pem.write_to_path(folder / f"{name}.key")
            certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        return cls(folder)

    def server_config(self, *, mutual: bool = False) -> dict[str, Any]:
        tls: dict[str, Any] = {
            "cert_file": str(self.folder / "server.crt"),
            "key_file": str(self.folder / "server.key"),
        }
        if mutual:
            tls |= {"ca_file": str(self.folder / "ca.pem"), "verify": True}
        return {"tls": tls}

    def client(self, url: str, *, ca: str | None = "ca.pem", certificate: str | None = None) -> NatsConfig:
        return NatsConfig(
            urls=(url,),
            tls_ca=self.folder / ca if ca else None,
            tls_cert=self.folder / f"{certificate}.crt" if certificate else None,
            tls_key=self.folder / f"{certificate}.key" if certificate else None,
        )


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers.write(tmp_path / "papers")


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_a_trusted_server_is_spoken_to_in_secret(tmp_path: Path, papers: Papers, scheme: str) -> None:
    """``tls_ca`` is enough to ask for TLS."""
    async with Server(tmp_path / "nats", papers.server_config()) as server:
        await works(papers.client(f"{scheme}://localhost:{server.port}"))


async def test_a_client_certificate_is_shown_where_the_server_wants_one(tmp_path: Path, papers: Papers) -> None:
    """Mutual TLS."""
    async with Server(tmp_path / "nats", papers.server_config(mutual=True)) as server:
        await works(papers.client(f"tls://localhost:{server.port}", certificate="client"))


@pytest.mark.parametrize("certificate", [None, "stranger-client"])
async def test_a_server_that_wants_another_certificate_is_an_error_at_once(
    tmp_path: Path, papers: Papers, certificate: str | None
) -> None:
    """None at all, or one of an authority that the server does not know."""
    async with Server(tmp_path / "nats", papers.server_config(mutual=True)) as server:
        text = await refusal(papers.client(f"tls://localhost:{server.port}", certificate=certificate))
    assert "alert" in text
    assert f"localhost:{server.port}" in text


@pytest.mark.parametrize("ca", ["stranger.pem", None])
async def test_a_server_of_an_unknown_authority_is_an_error_at_once(
    tmp_path: Path, papers: Papers, ca: str | None
) -> None:
    """Another authority than the configured one, or one that this machine does not know."""
    async with Server(tmp_path / "nats", papers.server_config()) as server:
        text = await refusal(papers.client(f"tls://localhost:{server.port}", ca=ca))
    assert "certificate verify failed" in text


async def test_a_certificate_for_another_host_is_an_error_at_once(tmp_path: Path, papers: Papers) -> None:
    """The certificate says localhost, the URL says 127.0.0.1."""
    async with Server(tmp_path / "nats", papers.server_config()) as server:
        text = await refusal(papers.client(f"tls://127.0.0.1:{server.port}"))
    assert "mismatch" in text
    assert "127.0.0.1" in text


async def test_tls_is_never_given_up_silently(tmp_path: Path, papers: Papers) -> None:
    """A server (or somebody between) that offers no TLS does not get the password in clear."""
    async with Server(tmp_path / "nats", WITH_PASSWORD) as server:
        config = NatsConfig(
            urls=(f"tls://localhost:{server.port}",), tls_ca=papers.folder / "ca.pem", user=USER, password=PASSWORD
        )
        assert "does not offer" in await refusal(config)
        connections = await statistics(server, "/connz?state=all&auth=1")
    assert all("authorized_user" not in connection for connection in connections.get("connections", []))


async def test_a_server_that_leaves_tls_to_the_client_is_asked_for_it(tmp_path: Path, papers: Papers) -> None:
    """``allow_non_tls``: who configures TLS gets it."""
    config = papers.server_config() | {"allow_non_tls": True}
    async with (
        Server(tmp_path / "nats", config) as server,
        await NatsTransport.open(papers.client(f"tls://localhost:{server.port}")),
    ):
        (connection,) = (await statistics(server, "/connz"))["connections"]
    assert connection["tls_version"]


async def statistics(server: Server, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer: dict[str, Any] = (await http.get(f"http://127.0.0.1:{server.monitor_port}{path}")).json()
        return answer


# -- what the engine must have


async def test_a_server_without_jetstream_is_unsupported(tmp_path: Path) -> None:
    """The text says what is missing."""
    async with Server(tmp_path, {"jetstream": None}) as server:
        with pytest.raises(UnsupportedEngineError, match="without JetStream"):
            await NatsTransport.open(NatsConfig(urls=(server.url,), request_timeout=0.5))


async def test_an_account_without_jetstream_is_unsupported(tmp_path: Path) -> None:
    """The server has JetStream, but not for us."""
    accounts = {"A": {"users": [{"user": "a", "password": "a"}]}, "B": {"jetstream": "enabled", "users": []}}
    async with Server(tmp_path, {"accounts": accounts}) as server:
        with pytest.raises(UnsupportedEngineError, match="JetStream not enabled for account"):
            await NatsTransport.open(NatsConfig(urls=(server.url,), user="a", password="a"))


async def test_a_server_that_takes_only_small_messages_is_unsupported(tmp_path: Path) -> None:
    """The text names what the server takes and what gbe needs; with smaller payloads the server is good enough."""
    async with Server(tmp_path, {"max_payload": 1_000_000}) as server:
        with pytest.raises(UnsupportedEngineError, match=r"takes 1000000 bytes .* needs 1414485 .*max_payload"):
            await NatsTransport.open(NatsConfig(urls=(server.url,)))
        await works(NatsConfig(urls=(server.url,), max_payload_size=512 * 1024))


# -- permissions


IN_A_CLUSTER_ONLY = {"$JS.API.STREAM.MSG.GET.*"}


@asynccontextmanager
async def server_with(folder: Path, permissions: Mapping[str, list[str]]) -> AsyncIterator[Server]:
    """A server with an account whose user ``gbe`` may do just this, and whose user ``spy`` may do everything."""
    users = [
        {"user": USER, "password": PASSWORD, "permissions": dict(permissions)},
        {"user": "spy", "password": "spy"},
    ]
    async with Server(folder, {"accounts": {"A": {"jetstream": "enabled", "users": users}}}) as server:
        yield server


def least_privilege(server: Server) -> NatsConfig:
    return NatsConfig(urls=(server.url,), user=USER, password=PASSWORD, connect_timeout=PATIENT_CONNECT)


async def test_the_documented_permissions_are_enough_and_none_is_idle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every operation works with the table of docs/nats.md, and every subject there is published on."""
    permissions = documented_permissions()
    seen: set[str] = set()

    async def on_message(msg: Msg) -> None:
        seen.add(msg.subject)

    async with server_with(tmp_path, permissions) as server, AsyncExitStack() as stack:
        spy = Client()
        await spy.connect(server.url, user="spy", password="spy", allow_reconnect=False)
        stack.push_async_callback(spy.close)
        await spy.subscribe(">", cb=on_message)
        await spy.flush()
        async with await NatsTransport.open(least_privilege(server)) as transport:
            await everything(transport)
        await spy.flush()
    assert "violation" not in caplog.text + server.log()
    idle = [p for p in permissions["publish"] if not any(covers(p, subject) for subject in seen)]
    assert set(idle) == IN_A_CLUSTER_ONLY


def covers(pattern: str, subject: str) -> bool:
    return matches(pattern.replace("$", "_"), subject.replace("$", "_"))


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        ("_INBOX.>", TransportUnavailableError),
        ("gbe.>", TransportUnavailableError),
        ("gbe-sched.gbe.>", TransportUnavailableError),
        ("gbe-live.*.gbe.>", TransportUnavailableError),
        ("$JS.API.INFO", UnsupportedEngineError),
        ("$JS.API.STREAM.CREATE.*", TransportUnavailableError),
        ("$JS.API.STREAM.PURGE.*", TransportUnavailableError),
        ("$JS.API.DIRECT.GET.*", TransportUnavailableError),
        ("$JS.API.CONSUMER.CREATE.>", TransportUnavailableError),
        ("$JS.API.CONSUMER.INFO.>", TransportUnavailableError),
    ],
)
async def test_a_missing_permission_is_an_error_that_names_it(
    tmp_path: Path, missing: str, error: type[TransportError]
) -> None:
    """At once, not after a timeout in silence."""
    permissions = {kind: [p for p in subjects if p != missing] for kind, subjects in documented_permissions().items()}
    async with server_with(tmp_path, permissions) as server:
        started = time.monotonic()
        with pytest.raises(error) as caught:
            async with await NatsTransport.open(least_privilege(server)) as transport:
                await everything(transport)
        assert time.monotonic() - started < PROMPTLY
    assert "permissions violation" in str(caught.value)
    assert missing.lower().partition("*")[0].removesuffix(">") in str(caught.value)


@pytest.mark.parametrize("missing", ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>"])
async def test_a_missing_permission_of_a_consumer_is_in_the_log(
    tmp_path: Path, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Pulls and acknowledgements have no caller who waits for an answer."""
    permissions = {kind: [p for p in subjects if p != missing] for kind, subjects in documented_permissions().items()}
    async with (
        server_with(tmp_path, permissions) as server,
        await NatsTransport.open(least_privilege(server)) as transport,
    ):
        await transport.ensure_stream(STREAM)
        await transport.publish("gbe.a.x", b"1")
        async with transport.consume("gbe.a.>", "workers", ConsumeOptions(start=EARLIEST)) as deliveries:
            if missing == "$JS.ACK.>":
                await (await first(deliveries)).ack()
            await eventually(
                lambda: f'permissions violation for publish to "{missing[:-2].lower()}' in caplog.text.lower(),
                "the log names the permission",
            )


# -- gbe serve


@asynccontextmanager
async def gbe_serve(
    folder: Path, transport: str, *, file: str = "", environment: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """A real ``gbe serve`` in a process of its own; yields its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gbe.yaml").write_text(file)
    log = folder / "log"
    program = Path(sys.executable).parent / "gbe"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program, "serve", "--listen", "127.0.0.1:0", "--transport", transport,
            cwd=folder, env=dict(environment or {}), stdout=out, stderr=out,
        )  # fmt: skip
    try:
        found = await eventually(
            lambda: re.search(r"listening (http://\S+)", log.read_text()) or process.returncode is not None,
            "gbe serve listens",
        )
        assert isinstance(found, re.Match), log.read_text()
        url = found[1].replace("localhost", "127.0.0.1")
        await eventually(lambda: healthy(url), "it is healthy")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        code = await process.wait()
    assert code == 0, log.read_text()


async def healthy(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/v1/health")).status_code == 200
    except httpx.TransportError:
        return False


async def publishes_and_polls(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        sent = (await http.post("/alerts", content="hello")).raise_for_status().json()
        polled = (await http.get("/alerts/json?poll=1")).raise_for_status()
    assert [json.loads(line)["id"] for line in polled.text.splitlines()] == [sent["id"]]


async def test_gbe_serves_on_a_server_with_passwords(tmp_path: Path) -> None:
    """Credentials from gbe.yaml, from the environment, and from the URL."""
    async with Server(tmp_path / "nats", WITH_PASSWORD) as server:
        file = f"nats:\n  user: {USER}\n  password: '{PASSWORD}'\n"
        async with gbe_serve(tmp_path / "file", server.url, file=file) as url:
            await publishes_and_polls(url)
        environment = {"GBE_NATS_USER": USER, "GBE_NATS_PASSWORD": PASSWORD}
        async with gbe_serve(tmp_path / "env", server.url, environment=environment) as url:
            assert await healthy(url)
        in_url = f"nats://{USER}:{IN_A_URL}@{server.address}"
        async with gbe_serve(tmp_path / "url", in_url) as url:
            assert await healthy(url)
        assert IN_A_URL not in (tmp_path / "url" / "log").read_text()


async def test_gbe_serves_with_a_credentials_file_over_tls(tmp_path: Path, papers: Papers) -> None:
    """What a hosted NATS asks for."""
    operator, credentials = Operator.make(), tmp_path / "gbe.creds"
    credentials.write_text(operator.credentials())
    file = f"nats:\n  credentials_file: {credentials}\n  tls_ca: {papers.folder / 'ca.pem'}\n"
    async with (
        Server(tmp_path / "nats", operator.server_config() | papers.server_config()) as server,
        gbe_serve(tmp_path / "gbe", f"tls://localhost:{server.port}", file=file) as url,
    ):
        await publishes_and_polls(url)


@pytest.mark.parametrize("trouble", ["password", "jetstream"])
async def test_gbe_serve_says_why_it_cannot_start(tmp_path: Path, trouble: str) -> None:
    """One line for people, no traceback, no secret, and an exit code."""
    config = WITH_PASSWORD if trouble == "password" else {"jetstream": None}
    async with Server(tmp_path / "nats", config) as server:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "gbe", "serve", "--listen", "127.0.0.1:0",
            "--transport", f"nats://{USER}:hunter2@{server.address}",
            cwd=tmp_path, env={"GBE_NATS_REQUEST_TIMEOUT": "1s"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode not in (0, None)
    assert ("Authorization Violation" if trouble == "password" else "without JetStream") in text
    assert "hunter2" not in text
    assert "Traceback" not in text
