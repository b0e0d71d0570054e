"""A process that contends for a lease and acts while it holds it; run by test_lease_stop.

Arguments: the URL of a NATS server, the key of the lease, the term in seconds, and a name.
"""

import asyncio
import sys

from gbe.errors import StateError
from gbe.state.lease import Lease
from gbe.state.nats.store import NatsStateStore
from gbe.transport.nats.config import NatsConfig


async def main(url: str, key: str, term: float, name: str) -> None:
    config = NatsConfig(urls=(url,), request_timeout=20.0, retry_after=0.3, ping_interval=0.5)
    async with await NatsStateStore.open(config) as store:
        lease = Lease(store, key, term=term, holder=name)
        while True:
            try:
                async with lease.held():
                    while True:
                        await act(store, key, lease.fence, name)
                        await asyncio.sleep(0.005)
            except StateError as exc:
                sys.stderr.write(f"{name}: {exc}\n")


async def act(store: NatsStateStore, key: str, fence: int, name: str) -> None:
    """One deed: noted in any case, and done only if no later holder has acted."""
    await store.set_fields(f"{key}.noted.{fence}", {name: b"1"})
    last = await store.get_field(f"{key}.done", "fence")
    if last is None or int(last) <= fence:
        changes = {"fence": b"%d" % fence, "by": name.encode()}
        await store.update_if(f"{key}.done", {"fence": last}, changes)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]))
