"""An S3 server of the tests' own: SeaweedFS, which checks signatures, checksums and conditions as Amazon's does."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx
from tests.engines import die_with_parent, free_port

from gbe.ids import new_ulid
from gbe.objects.config import ObjectsConfig

ACCESS_KEY, SECRET_KEY = "gbe", "s3cret-key-of-the-tests"
BUCKET = "gbe-test"
_BINARY = Path(sys.executable).parent / "weed"
_GRPC_OFFSET = 10_000  # where each of its parts listens too
_PATIENCE = 60.0


class S3Process:
    """One server in a folder of its own, with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3']}"

    def place(self, folder: str | None = None) -> ObjectsConfig:
        """A folder of its bucket; without a name one that nobody else has."""
        return ObjectsConfig(
            url=f"s3://{BUCKET}/{folder or new_ulid()}",
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
        )

    def __enter__(self) -> Self:
        for _ in range(10):
            if self._start():
                return self
            self.kill()
        raise AssertionError(f"weed does not start: {(self.folder / 'out').read_text()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> bool:
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "gbe",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        self._ports = {part: free_port() for part in ("master", "volume", "filer", "s3")}
        command = [
            str(_BINARY),
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={config}",
            "-s3.autoCreateBucket=false",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-volume.max=100",
            "-master.volumeSizeLimitMB=64",  # a bucket takes seven volumes at once
            "-debug.port=0",
            *(f"-{part}.port={port}" for part, port in self._ports.items()),
            *(f"-{part}.port.grpc={port + _GRPC_OFFSET}" for part, port in self._ports.items()),
        ]
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={"HOME": str(self.folder), "TMPDIR": str(self.folder)},
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._is_ready():
                return True
            time.sleep(0.05)
        return False

    def _is_ready(self) -> bool:
        """The bucket is a folder of its file layer; then the S3 part answers, and the volumes stand."""
        filer = f"http://127.0.0.1:{self._ports['filer']}/buckets/{BUCKET}/"
        try:
            made = httpx.post(filer, timeout=5.0, trust_env=False)
            written = httpx.post(f"{filer}ready", files={"file": b"1"}, timeout=5.0, trust_env=False)
            asked = httpx.get(self.endpoint, timeout=5.0, trust_env=False)
        except httpx.HTTPError:
            return False
        return made.status_code in {201, 409} and written.is_success and asked.status_code in {200, 403}

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
