"""redis-server processes of the tests' own, alone or in a cluster, on 127.0.0.1: killed, frozen and started again.

All of it is synchronous, so that a fixture of any scope can use it. In a test whose own traffic must go on meanwhile,
``await asyncio.to_thread(cluster.failover, node)`` does it beside the event loop.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

import trustme
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError
from tests.engines import _stands, die_with_parent, free_port

USER: Final = "gbe"
PASSWORD: Final = "s3cret"
"""Credentials of the user that an engine's ``acl`` is for."""

MEMORYDB_RULES: Final[tuple[str, ...]] = (
    "~*",
    "&*",
    "+@all",
    *("-acl|deluser", "-acl|load", "-acl|save", "-acl|setuser"),
    *("-bgrewriteaof", "-bgsave", "-save", "-shutdown", "-config", "-debug", "-migrate", "-module"),
    *("-psync", "-replconf", "-replicaof", "-slaveof", "-sync"),
    *("-cluster|addslots", "-cluster|addslotsrange", "-cluster|delslots", "-cluster|delslotsrange"),
    *("-cluster|flushslots", "-cluster|setslot", "-cluster|bumpepoch", "-cluster|set-config-epoch"),
    *("-cluster|failover", "-cluster|forget", "-cluster|meet", "-cluster|replicate", "-cluster|reset"),
    *("-cluster|saveconfig", "-select", "-swapdb", "-move"),
)
"""What a user of Amazon MemoryDB may do, as rules of a Redis 7 user.

Denied are the commands of its page on restricted commands; the other subcommands of ``CLUSTER`` that change a cluster,
which are its control plane's; and what needs a second database, as it has one.
"""

SLOTS: Final = 16_384

_ADMIN_PASSWORD: Final = "harness"  # the default user's where there are rules: who forgets to log in is refused
_BUS_OFFSET: Final = 10_000  # from a node's port to the one it gossips on, Redis' own default
_PATIENCE: Final = 60.0  # seconds; only a failing test waits so long
_CALL_TIMEOUT: Final = 10.0

T = TypeVar("T")

# PR_SET_PDEATHSIG looks at the thread that forked, not at its process: started from a thread of an event loop's, an
# engine would be killed when that loop closes. This thread ends with the interpreter.
_spawner: Final = ThreadPoolExecutor(1, thread_name_prefix="redis-engines")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """An authority, and a certificate of it that serves both ends of a connection to 127.0.0.1.

    Args:
        mutual: the server asks its clients for a certificate too.
    """

    ca: Path
    certificate: Path
    key: Path
    mutual: bool = False

    @classmethod
    def make(cls, folder: Path, *, mutual: bool = False) -> Self:
        """Make a new authority and a certificate in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        files = cls(ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key", mutual=mutual)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(files.ca)
        issued.private_key_pem.write_to_path(files.key)
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return files


class RedisProcess:
    """One engine in a folder of its own; with an append-only file, and never evicting.

    Args:
        folder: its configuration, log and store.
        fsync: ``always`` syncs every write to the disk before it is confirmed.
        acl: rules of the user ``USER``, as ``MEMORYDB_RULES``. With them, nobody else gets in: the default user, which
            ``call`` uses, has a password too.
        tls: speak TLS only; ``True`` makes the files for it.
        cluster: run in cluster mode, as a node that has met nobody and serves no slot: see ``RedisCluster``.
        options: further lines of its configuration; they prevail.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: str = "everysec",
        acl: Sequence[str] = (),
        tls: TlsFiles | bool | None = None,
        cluster: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self.folder, self.fsync, self.acl, self.options = folder, fsync, tuple(acl), tuple(options)
        self.tls: TlsFiles | None = TlsFiles.make(folder / "tls") if tls is True else tls or None
        self.cluster = cluster
        self.port = 0
        self._node_id = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._is_frozen = False
        self._log_before = 0

    def __repr__(self) -> str:
        return f"<redis-server {self.folder.name} on {self.address}>"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return f"{'rediss' if self.tls else 'redis'}://{self.address}"

    @property
    def user_url(self) -> str:
        """A client's way in: ``url`` with the credentials of the user that ``acl`` is for, if there is one."""
        return self.url.replace("://", f"://{_credentials(self.acl)}")

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def answers(self) -> bool:
        """Whether it is there and not frozen."""
        return self.is_running and not self._is_frozen

    @property
    def node_id(self) -> str:
        """The name that it has in its cluster; it keeps it over restarts."""
        if not self._node_id:
            self._node_id = self.call("CLUSTER", "MYID").decode()
        return self._node_id

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and return once it has loaded its data and serves; the port of the first start is kept.

        Raises:
            AssertionError: it does not start; its log says why.
        """
        assert not self.is_running, "it runs already"
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            port = self.port or self._free_port()
            if self._start_on(port, deadline):
                self.port = port
                return
            if not re.search("already (in use|used)", self._log_since_start()):
                break
            time.sleep(0.01)  # of the port, or of its cluster's file, a child that is not dead yet may have a copy
        raise AssertionError(f"redis-server does not start: {self._log_since_start()[-2000:]}")

    def _free_port(self) -> int:
        while True:
            port = free_port()
            if not self.cluster or _is_free(port + _BUS_OFFSET):
                return port

    def _start_on(self, port: int, deadline: float) -> bool:
        binary = shutil.which("redis-server")
        assert binary is not None, "there is no redis-server on PATH; scripts/install-engines says how to get one"
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "redis.conf"
        config.write_text("\n".join([*self._configuration(port), *self.options, ""]))
        self._log_before = len(self.log())
        with self._log.open("ab") as out:
            process = self._process = _spawner.submit(_spawn, [binary, str(config)], out).result()
        self._is_frozen = False
        while time.monotonic() < deadline and process.poll() is None:
            if self._serves_on(port):
                return True
            time.sleep(0.002)
        self.kill()
        return False

    def _configuration(self, port: int) -> list[str]:
        lines = [
            "bind 127.0.0.1",
            "protected-mode no",
            "daemonize no",
            f'dir "{self.folder}"',
            f'logfile "{self._log}"',
            'save ""',
            "appendonly yes",
            f"appendfsync {self.fsync}",
            "maxmemory-policy noeviction",
            "enable-debug-command local",
            "repl-diskless-sync-delay 0",  # a replica need not wait for others that might come
        ]
        if self.tls:
            lines += [
                "port 0",
                f"tls-port {port}",
                f'tls-ca-cert-file "{self.tls.ca}"',
                f'tls-cert-file "{self.tls.certificate}"',
                f'tls-key-file "{self.tls.key}"',
                f"tls-auth-clients {'yes' if self.tls.mutual else 'no'}",
                "tls-replication yes",
                "tls-cluster yes",
            ]
        else:
            lines.append(f"port {port}")
        if self.acl:
            lines += [
                f"user default on >{_ADMIN_PASSWORD} ~* &* +@all",
                f"user {USER} on >{PASSWORD} {' '.join(self.acl)}",
                "masteruser default",
                f"masterauth {_ADMIN_PASSWORD}",
            ]
        if self.cluster:
            lines += [
                "cluster-enabled yes",
                f"cluster-port {port + _BUS_OFFSET}",
                "cluster-announce-ip 127.0.0.1",
            ]
        return lines

    def _serves_on(self, port: int) -> bool:
        """Whether this very process answers, and has loaded: any server may have taken the port."""
        try:
            with self._connection(port, 1.0) as connection:
                ask(connection, "PING")
                return b"process_id:%d\r\n" % self.pid in ask(connection, "INFO", "server")
        except RedisError:
            return False

    def _connection(self, port: int, timeout: float) -> contextlib.AbstractContextManager[Connection]:
        arguments: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "protocol": 2,
            "driver_info": None,
        }
        if self.acl:
            arguments |= {"username": "default", "password": _ADMIN_PASSWORD}
        if self.tls:
            arguments |= {"ssl_ca_certs": str(self.tls.ca)}
            arguments |= {"ssl_certfile": str(self.tls.certificate), "ssl_keyfile": str(self.tls.key)}
        return _disconnecting((SSLConnection if self.tls else Connection)(**arguments))

    def call(self, *command: str | bytes | int | float, timeout: float = _CALL_TIMEOUT) -> Any:
        """Send a command as the default user, over a connection of its own, and return the plain reply.

        Args:
            timeout: seconds to wait for the reply.

        Returns:
            bytes, an integer, ``None`` or a list of them, as RESP2 has it.

        Raises:
            redis.exceptions.ResponseError: the server refuses the command.
            redis.exceptions.ConnectionError: the server is not there.
            redis.exceptions.TimeoutError: the server does not answer.
        """
        with self._connection(self.port, timeout) as connection:
            return ask(connection, *command)

    def info(self, section: str = "everything") -> dict[str, str]:
        """What ``INFO`` says."""
        lines = self.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def kill(self) -> None:
        """SIGKILL, as a crash does it; returns when it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        """SIGTERM, as an upgrade does it; returns when it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it is there and does not answer; returns when its last thread stands."""
        self._is_frozen = True
        os.kill(self.pid, signal.SIGSTOP)
        while not _stands(self.pid):
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self._is_frozen = False

    @property
    def _log(self) -> Path:
        return self.folder / "redis.log"

    def log(self) -> str:
        """What it has written, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _log_since_start(self) -> str:
        return self.log()[self._log_before :]


def _spawn(command: Sequence[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdout=out,
        stderr=out,
        env={},
        preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
    )


def ask(connection: Connection, *command: str | bytes | int | float) -> Any:
    """Send a command and return the plain reply."""
    connection.send_command(*command)  # type: ignore[no-untyped-call]
    return connection.read_response()


@contextlib.contextmanager
def _disconnecting(connection: Connection) -> Iterator[Connection]:
    try:
        yield connection
    finally:
        connection.disconnect()  # type: ignore[no-untyped-call]


def _credentials(acl: Sequence[str]) -> str:
    return f"{USER}:{PASSWORD}@" if acl else ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class RedisCluster:
    """Nodes in cluster mode that have met, each master with a part of the slots and, as far as they go, a replica.

    A master that stops answering for ``node_timeout_ms`` is replaced by its replica within some seconds more, as long
    as most of the masters answer. One that comes back is a replica of its successor. What was confirmed is not lost in
    ``failover`` and ``migrate_slot``; it may be when a master ends before its replica has it, and when a frozen one is
    thawed after the election: it first executes and confirms what waits in its sockets, and then learns the news.

    Args:
        folder: each node has a folder in it.
        masters: at least 3, or nobody can be elected.
        replicas: how many in all, dealt out one after the other.
        fsync, acl, tls, options: as those of ``RedisProcess``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        masters: int = 3,
        replicas: int = 3,
        fsync: str = "everysec",
        node_timeout_ms: int = 2000,
        acl: Sequence[str] = (),
        tls: TlsFiles | bool | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.acl = tuple(acl)
        self.tls: TlsFiles | None = TlsFiles.make(folder / "tls") if tls is True else tls or None
        self._masters = masters
        self._has_met = False
        self._candidacy_pause = 4 * max(node_timeout_ms, 1000) / 1000  # Redis': seconds between two of the same node
        self._candidacies: dict[RedisProcess, float] = {}
        options = (
            f"cluster-node-timeout {node_timeout_ms}",
            "cluster-require-full-coverage yes",
            "cluster-replica-validity-factor 0",  # a replica may be elected however long ago it heard of its master
            "cluster-allow-replica-migration no",  # it stays with its master: a test says which one it kills
            *options,
        )
        self.nodes = [
            RedisProcess(folder / f"n{number}", fsync=fsync, acl=acl, tls=self.tls, cluster=True, options=options)
            for number in range(1, masters + replicas + 1)
        ]

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(node.address for node in self.nodes)

    @property
    def url(self) -> str:
        """Where all its nodes are, without credentials."""
        return f"{'rediss' if self.tls else 'redis'}+cluster://{','.join(self.addresses)}"

    @property
    def user_url(self) -> str:
        """A client's way in: ``url`` with the credentials of the user that ``acl`` is for, if there is one."""
        return self.url.replace("://", f"://{_credentials(self.acl)}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start what does not run, let the nodes meet if they have not, and return once all of it serves."""
        try:
            for node in self.nodes:
                if not node.is_running:
                    node.start()
            if not self._has_met:
                self._meet()
                self._has_met = True
            self.wait_ok()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL all nodes."""
        for node in self.nodes:
            node.kill()

    def _meet(self) -> None:
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        bounds = [SLOTS * number // len(masters) for number in range(len(masters) + 1)]
        for number, node in enumerate(self.nodes, 1):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number)  # or they would have to settle who is the first
        for node, low, high in zip(masters, bounds, bounds[1:], strict=False):
            node.call("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
        for one, other in itertools.combinations(self.nodes, 2):  # each with each: none has to hear of it by gossip
            one.call("CLUSTER", "MEET", "127.0.0.1", other.port, other.port + _BUS_OFFSET)
        known = {node.node_id for node in self.nodes}
        for node in self.nodes:
            _until(lambda node=node: {line.id for line in _view(node)} == known, f"{node} has met the others")  # type: ignore[misc]
        for replica, master in zip(replicas, itertools.cycle(masters), strict=False):
            replica.call("CLUSTER", "REPLICATE", master.node_id)

    def wait_ok(self, within: float = _PATIENCE) -> None:
        """Return when what answers is a whole cluster.

        That is: every slot is served by a node that answers; all such nodes agree who serves what and who follows
        whom, and say that their cluster is fine; every replica among them has its master's data. So it waits for an
        election if a master is gone, and for a node that was started again to be back in its place.
        """
        deadline = time.monotonic() + within
        while flaw := self._flaw():
            assert time.monotonic() < deadline, f"not within {within:g} s a whole cluster: {flaw}"
            time.sleep(0.02)

    def _flaw(self) -> str | None:
        """The first thing found that is not as ``wait_ok`` wants it."""
        answering = {node.node_id: node for node in self.nodes if node.answers}
        try:
            views = {node: _view(node) for node in answering.values()}
            infos = {node: node.info("replication") for node in answering.values()}
            states = {node: b"cluster_state:ok" in node.call("CLUSTER", "INFO") for node in answering.values()}
        except RedisError as exc:
            return str(exc)
        roles = {
            node: {line.id: (line.master_id, line.slots) for line in view if line.slots or line.id in answering}
            for node, view in views.items()
        }
        agreed = next(iter(roles.values()), {})
        if any(other != agreed for other in roles.values()):
            return f"the nodes disagree: {roles}"
        if (served := sum(len(slots) for _, ranges in agreed.values() for slots in ranges)) != SLOTS:
            return f"{served} slots are served"
        for id, (master_id, slots) in agreed.items():
            if id not in answering:
                return f"{len(slots)} ranges of slots are served by a node that does not answer"
            if master_id and master_id not in answering:
                return f"{answering[id]} follows a node that does not answer"
        for node, view in views.items():
            if ill := [line for line in view if line.id in answering and line.is_suspect]:
                return f"{node} suspects {ill}"
            if not states[node]:
                return f"{node} does not say that its state is ok"
            if master_id := agreed[node.node_id][0]:
                replica = re.compile(rf"ip=127.0.0.1,port={node.port},state=online,")
                if infos[node].get("master_link_status") != "up":
                    return f"{node} has no link to its master"
                if not any(replica.match(value) for value in infos[answering[master_id]].values()):
                    return f"{node} is not online for its master"
        return None

    def master_of(self, key: str | int, within: float = _PATIENCE) -> RedisProcess:
        """The node that serves a key or a slot, of those that answer; waits for an election if there is none."""
        slot = slot_of(key)

        def master() -> RedisProcess | None:
            claims = [
                (line.epoch, node)
                for node, line in self._own_lines()
                if not line.master_id and any(slot in slots for slots in line.slots)
            ]
            return max(claims, key=lambda claim: claim[0])[1] if claims else None  # the later election counts

        return _until(master, f"slot {slot} has a master", within)

    def replica_of(self, master: RedisProcess, within: float = _PATIENCE) -> RedisProcess:
        """A node that answers and follows a master; waits if there is none yet."""

        def replica() -> RedisProcess | None:
            return next((node for node, line in self._own_lines() if line.master_id == master.node_id), None)

        return _until(replica, f"{master} has a replica", within)

    def _own_lines(self) -> list[tuple[RedisProcess, "_NodeLine"]]:
        """What the nodes that answer say of themselves."""
        lines = []
        for node in self.nodes:
            if node.answers:
                with contextlib.suppress(RedisError):
                    lines.append((node, next(line for line in _view(node) if line.is_myself)))
        return lines

    def failover(self, master: RedisProcess) -> RedisProcess:
        """Let a replica take over from a master in peace, as an upgrade does it, without a write lost.

        At once, unless the same replica has done so in the last ``4 * node_timeout_ms``: then it waits.

        Returns:
            The new master, once it is it and the old one follows it.
        """
        replica = self.replica_of(master)
        # one that stood so recently would stand again only then, and its master would refuse all writes until then
        time.sleep(max(0.0, self._candidacies.get(replica, 0.0) + self._candidacy_pause - time.monotonic()))

        def has_changed() -> bool:
            masters = {node: line.master_id for node, line in self._own_lines()}
            return masters.get(replica) == "" and masters.get(master) == replica.node_id

        deadline = time.monotonic() + _PATIENCE
        while True:
            replica.call("CLUSTER", "FAILOVER")
            try:
                _until(has_changed, f"{replica} takes over from {master}", 6.0)
            except AssertionError:  # Redis gives up after 5 seconds, and says so in the log only
                if time.monotonic() > deadline:
                    raise
            else:
                self._candidacies[replica] = time.monotonic()
                return replica

    def migrate_slot(
        self, slot: str | int, target: RedisProcess | None = None, *, batch: int = 10, pause: float = 0.0
    ) -> RedisProcess:
        """Move a slot, or a key's, with all it holds to another master while clients use it, as redis-cli does it.

        Args:
            target: a master; ``None`` takes any other one.
            batch: keys per step.
            pause: seconds between the steps, in which clients meet a slot of which a part has moved.

        Returns:
            The target, once every node that answers knows that it serves the slot.
        """
        slot = slot_of(slot)
        # a node that has not heard of the last election takes the target for a replica, and refuses in the middle
        self.wait_ok()
        source = self.master_of(slot)
        masters = [node for node, line in self._own_lines() if not line.master_id and node is not source]
        target = target or masters[0]
        assert target in masters, f"{target} is no other master"
        _set_slot(target, slot, "IMPORTING", source.node_id)
        _set_slot(source, slot, "MIGRATING", target.node_id)
        credentials = ("AUTH2", "default", _ADMIN_PASSWORD) if self.acl else ()
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, batch):
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *credentials, "KEYS", *keys)
            time.sleep(pause)
        # the target first: if the source were the first to forget it, nobody would serve it for a moment
        for node in (target, source, *(node for node in masters if node is not target)):
            _set_slot(node, slot, "NODE", target.node_id)
        _until(lambda: self._know(slot, target), f"all nodes know that slot {slot} is served by {target}")
        return target

    def _know(self, slot: int, master: RedisProcess) -> bool:
        views = [_view(node) for node in self.nodes if node.answers]
        owners = {line.id for view in views for line in view if any(slot in slots for slots in line.slots)}
        return owners == {master.node_id}


def _set_slot(node: RedisProcess, slot: int, what: str, other: str) -> None:
    """Tell a node where a slot goes; one that does not know yet that the other is a master is told again."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            node.call("CLUSTER", "SETSLOT", slot, what, other)
            return
        except ResponseError as exc:
            if "not a master" not in str(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class _NodeLine:
    """What a node says of one, itself included: a line of ``CLUSTER NODES``."""

    id: str
    flags: tuple[str, ...]
    master_id: str  # empty for a master
    epoch: int
    slots: tuple[range, ...]

    @property
    def is_myself(self) -> bool:
        return "myself" in self.flags

    @property
    def is_suspect(self) -> bool:
        return not {"fail", "fail?", "handshake", "noaddr"}.isdisjoint(self.flags)


def _view(node: RedisProcess) -> list[_NodeLine]:
    """The cluster as a node sees it."""
    lines = []
    for line in node.call("CLUSTER", "NODES").decode().splitlines():
        id, _, flags, master, _, _, epoch, _, *slots = line.split()
        bounds = [part.split("-") for part in slots if not part.startswith("[")]  # in brackets: a slot on its way
        ranges = tuple(range(int(low), int((high or [low])[0]) + 1) for low, *high in bounds)
        lines.append(_NodeLine(id, tuple(flags.split(",")), master.strip("-"), int(epoch), ranges))
    return lines


def slot_of(key: str | int) -> int:
    """The slot of a key; a slot is its own."""
    return key if isinstance(key, int) else key_slot(key.encode())


def _until(condition: Callable[[], T | None], description: str, within: float = _PATIENCE) -> T:
    """Ask until the answer is true and return it; fail with ``description`` if that takes too long."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {description}"
        time.sleep(0.01)
    return answer
