"""A cluster of three NATS servers under load, killed and restarted at random; counts like Jepsen's total-queue.

    python -m chaos.nats_cluster --messages 200000

A message that was confirmed and does not come out, one that a tail shows twice or out of order, or an error that a
caller sees ends the run with a traceback.
"""

import argparse
import asyncio
import logging
import random
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.nats_cluster import PASSWORD, USER, Cluster, Traffic

from gbe.transport.base import StreamConfig
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport

ROOT = "gbe.chaos"


async def open_node(stack: AsyncExitStack, url: str) -> NatsTransport:
    """A transport that knows one server of the cluster."""
    config = NatsConfig(urls=(url,), user=USER, password=PASSWORD, publish_timeout=60.0, request_timeout=30.0)
    return await stack.enter_async_context(await NatsTransport.open(config))


async def run(messages: int, publishers: int, seed: int) -> None:
    """Publish until ``messages`` are confirmed while servers come and go."""
    dice = random.Random(seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gbe-chaos-") as folder:
        async with Cluster(Path(folder)) as cluster, AsyncExitStack() as stack:
            publishing = await open_node(stack, cluster.urls[0])
            following = await open_node(stack, cluster.urls[1])
            await publishing.ensure_stream(StreamConfig(name="chaos", subjects=(f"{ROOT}.*",), replicas=3))
            async with Traffic(publishing, following, ROOT) as traffic:
                traffic.publish(publishers=publishers, pause=0.0)
                while len(traffic.confirmed) < messages:
                    await traffic.until(messages // 40)
                    server = await cluster.leader_of("chaos") if dice.random() < 0.5 else dice.choice(cluster.servers)
                    how = dice.choice(("kill -9", "stop", "freeze"))
                    print(f"{time.monotonic() - started:7.1f} s  {how} {server.config['server_name']}", flush=True)
                    if how == "freeze":
                        server.freeze()
                        await asyncio.sleep(dice.uniform(0.5, 8.0))
                        server.thaw()
                    else:
                        if how == "stop":
                            await server.stop()
                        else:
                            server.kill()
                        await traffic.until(messages // 80)  # two of three are enough
                        server.spawn()
                    await cluster.is_whole()
                    print(f"{time.monotonic() - started:7.1f} s  {traffic.report()}", flush=True)
                await traffic.finish()
            print(traffic.report())
            assert not traffic.errors, traffic.errors[:3]
            print(f"nothing lost, nothing shown twice, no error; {time.monotonic() - started:.0f} s")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000, help="how many must be confirmed")
    parser.add_argument("--publishers", type=int, default=64, help="publishes in flight")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(f"seed {arguments.seed}")
    asyncio.run(run(arguments.messages, arguments.publishers, arguments.seed))


if __name__ == "__main__":
    main()
