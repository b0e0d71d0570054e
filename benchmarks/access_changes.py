"""How soon a change of access counts on another node: ``python -m benchmarks.access_changes [--changes N]``.

On NATS and on a Redis Cluster two ``gbe serve`` processes run. One is told of a change; from its answer on it is
measured how long the other takes to act on it: until an answer is another one, the request that found out included,
or until a stream that is open there has ended. Checks of passwords are no part of it: one takes tens of milliseconds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from tests.engines import NatsProcess
from tests.ntfy.access.accounts import basic, new_address
from tests.ntfy.access.processes import ADMIN, two_processes
from tests.redis_engines import RedisCluster

from benchmarks.harness import say

_PATIENCE: Final = 30.0
Headers = dict[str, str]


class Pair:
    """Two processes and what is asked of them."""

    def __init__(self, one: str, other: str, client: httpx.Client) -> None:
        self._one, self._other, self._client = one, other, client

    def change(self, method: str, path: str, body: object = None, given: Headers = ADMIN) -> httpx.Response:
        """Tell the one; it must do it."""
        answer = self._client.request(method, self._one + path, json=body, headers={**given, **new_address()})
        answer.raise_for_status()
        return answer

    def until(self, path: str, given: Headers, status: int) -> float:
        """Ask the other until it answers so; milliseconds."""
        started = time.perf_counter()
        while (taken := time.perf_counter() - started) < _PATIENCE:
            if self._client.get(self._other + path, headers={**given, **new_address()}).status_code == status:
                return (time.perf_counter() - started) * 1000
        raise TimeoutError(f"{path} is not answered with {status} after {taken:.0f} s")

    def users(self, number: int) -> float:
        """A new user, in the list of users."""
        self.change("POST", "/v1/users", {"username": f"user{number}", "password": "first"})
        started = time.perf_counter()
        while time.perf_counter() - started < _PATIENCE:
            if (
                f'"user{number}"'
                in self._client.get(f"{self._other}/v1/users", headers={**ADMIN, **new_address()}).text
            ):
                return (time.perf_counter() - started) * 1000
        raise TimeoutError("the other process does not know the user")

    def passwords(self, number: int) -> float:
        """Another password; a stream that the former one has opened ends."""
        return self._end_of_stream(
            {"Authorization": basic(f"user{number}", "first")},
            f"st{number}",
            lambda: self.change("PUT", "/v1/users", {"username": f"user{number}", "password": "second"}),
        )

    def entries(self, number: int) -> float:
        """An entry, by turns one that allows and one that denies."""
        may = number % 2 == 0
        body = {"username": "user0", "topic": "ops", "permission": "ro" if may else "deny"}
        self.change("PUT", "/v1/users/access", body)
        return self.until("/ops/auth", {"Authorization": basic("user0", "second")}, 200 if may else 403)

    def tokens(self, number: int) -> float:
        """A token is made, or the one before removed."""
        if number % 2 == 0:
            made = self.change("POST", "/v1/account/token", {}, {"Authorization": basic("user1", "second")}).json()
            self._bearer = {"Authorization": f"Bearer {made['token']}"}
            return self.until("/v1/account", self._bearer, 200)
        self.change("DELETE", "/v1/account/token", None, self._bearer)
        return self.until("/v1/account", self._bearer, 401)

    def streams(self, number: int) -> float:
        """A token is removed; a stream that it has opened ends."""
        made = self.change("POST", "/v1/account/token", {}, ADMIN).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        self.until("/v1/account", bearer, 200)
        return self._end_of_stream(
            bearer, f"t{number}", lambda: self.change("DELETE", "/v1/account/token", None, bearer)
        )

    def _end_of_stream(self, given: Headers, topic: str, change: Callable[[], object]) -> float:
        """Milliseconds from the answer to a change until a stream on the other process has ended."""
        headers = {**given, **new_address()}
        with self._client.stream("GET", f"{self._other}/{topic}/json", headers=headers) as stream:
            lines = stream.iter_lines()
            next(lines)
            change()
            started = time.perf_counter()
            for _ in lines:
                pass
        return (time.perf_counter() - started) * 1000


def measure(engine: str, url: str, changes: int, folder: Path) -> None:
    """Print the figures of one engine."""
    with two_processes(url, folder) as (one, other), httpx.Client(timeout=_PATIENCE, trust_env=False) as client:
        pair = Pair(one, other, client)
        pair.change("PUT", "/v1/users/access", {"username": "everyone", "topic": "st*", "permission": "ro"})
        kinds: tuple[Callable[[int], float], ...] = (
            pair.users, pair.passwords, pair.entries, pair.tokens, pair.streams,
        )  # fmt: skip
        for kind in kinds:
            found = [kind(number) for number in range(changes)]
            name = kind.__name__
            say(f"{engine:14} {name:10} median {statistics.median(found):6.1f} ms   longest {max(found):6.1f} ms")


def main() -> int:
    """Measure on both engines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20, help="of each kind, at least 2")
    changes: int = max(2, parser.parse_args().changes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place in ("nats", "cluster"):
            (folder / place).mkdir()
        with NatsProcess(folder / "nats" / "engine") as nats:
            measure("NATS", nats.url, changes, folder / "nats")
        with RedisCluster(folder / "cluster" / "engine") as cluster:
            measure("Redis Cluster", cluster.user_url, changes, folder / "cluster")
    return 0


if __name__ == "__main__":
    sys.exit(main())
