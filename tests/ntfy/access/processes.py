"""Two ``gbe serve`` processes on one engine, with access control, as an operator would start them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import httpx
from tests.naming import unique
from tests.ntfy.access.accounts import basic
from tests.ntfy.server import PATIENCE, eventually
from tests.serving import serving

_HASH = bcrypt.hashpw(b"pw", bcrypt.gensalt(10, b"2a")).decode()
ADMIN = {"Authorization": basic("root", "pw")}


@contextmanager
def two_processes(engine: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Where the two listen; ``root`` is the administrator, and nobody else may anything.

    Args:
        engine: the URL of their transport.
        folder: of their logs.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "GBE_LISTEN": "127.0.0.1:0",
        "GBE_TRANSPORT": engine,
        "GBE_NAMESPACE": unique("p"),
        "GBE_ROLES": "http",
        "GBE_NOTIFY_AUTH_DEFAULT_ACCESS": "deny-all",
        "GBE_NOTIFY_AUTH_USERS": f"root:{_HASH}:admin",
        "GBE_NOTIFY_BEHIND_PROXY": "true",
        "GBE_NOTIFY_VISITOR_REQUEST_LIMIT_BURST": "100000",
    }
    with ExitStack() as stack:
        logs = []
        for name in ("one", "other"):
            place = folder / name
            place.mkdir()
            logs.append(stack.enter_context(serving(place, environment)))
        one, other = map(_address, logs)
        yield one, other


def _address(log: Path) -> str:
    eventually(lambda: "listening http" in log.read_text(), "its address")
    words = log.read_text().split()
    url = words[words.index("listening") + 1].rstrip(",")
    eventually(lambda: _answers(url), "the server answers")
    return url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + "/v1/health", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False
