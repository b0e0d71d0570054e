"""What docs/redis.md tells other programs to do, done by redis-cli; gbe and they are users with the page's rules."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.test_redis_permissions import documented_rules
from tests.redis_engines import PASSWORD, RedisProcess
from tests.waiting import first

from gbe.ids import encode_ulid
from gbe.redis.config import RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig
from gbe.transport.redis.transport import RedisTransport

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
PAYLOAD = b'{"invoice": 17}'
STREAM = StreamConfig(name="gbe-billing", subjects=("gbe.billing.>",), max_age=30 * 86_400.0)

pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli")


def commands(name: str) -> str:
    """The shell commands that the page has behind this mark."""
    return PAGE.read_text(encoding="utf-8").partition(f"<!-- {name}:")[2].partition("```sh\n")[2].partition("```")[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path / "redis", acl=documented_rules()) as engine:
        engine.call(*shlex.split(commands("user").replace("\\\n", " "))[1:])
        yield engine


async def shell(server: RedisProcess, text: str) -> str:
    """Run commands with the page's user; what they print."""
    text = f'redis-cli() {{ command redis-cli -e -p {server.port} --user billing "$@"; }}\nset -e\n{text}'
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        text,
        env={**os.environ, "REDISCLI_AUTH": PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def opened(server: RedisProcess) -> RedisTransport:
    return await RedisTransport.open(RedisConfig(url=server.user_url, poll_interval=0.2))


@pytest.mark.parametrize("is_prompt", [True, False], ids=["with wake-ups", "without"])
async def test_what_they_publish_reaches_everybody(server: RedisProcess, is_prompt: bool) -> None:
    """Those who follow the subject and those who follow a pattern, and no later than a poll without the wake-ups."""
    lines = commands("publish").splitlines()
    text = "\n".join(line for line in lines if is_prompt or "SPUBLISH" not in line)
    assert len(lines) == len(text.splitlines()) + (0 if is_prompt else 2)
    async with await opened(server) as transport:
        await transport.ensure_stream(STREAM)
        async with (
            transport.tail(["gbe.billing.invoice"]) as literal,
            transport.tail(["gbe.billing.>"]) as wildcard,
            transport.consume("gbe.billing.*", "books", ConsumeOptions(start=EARLIEST)) as deliveries,
        ):
            await shell(server, text)
            assert (await first(literal)).envelope.payload == PAYLOAD
            assert (await first(wildcard)).envelope.payload == PAYLOAD
            delivery = await first(deliveries)
            assert delivery.envelope.payload == PAYLOAD
            await delivery.ack()
    lifetime = server.call("PTTL", "gbe:billing:invoice")
    assert 30 * 86_400_000 < lifetime <= 30 * 86_400_000 + 60_000


async def test_a_key_counts_once_for_them_and_for_gbe(server: RedisProcess) -> None:
    """The second time nothing is stored, and gbe answers with the id of the first."""
    async with await opened(server) as transport:
        await transport.ensure_stream(STREAM)
        output = await shell(server, f"cd {PAGE.parents[1]}\n{commands('publish-once')}")
        entry, nothing = output.splitlines()
        assert (nothing, "-" in entry) == ("", True)
        id = await transport.publish("gbe.billing.invoice", b"{}", idempotency_key="invoice-17")
        (stored,) = await transport.read("gbe.billing.invoice")
        assert (stored.envelope.id, str(stored.position)) == (id, entry)
        assert stored.envelope.payload == PAYLOAD
    assert server.call("ACL", "LOG") == []


async def test_what_gbe_publishes_reaches_them(server: RedisProcess) -> None:
    """Their group is none of gbe's, and ``trim`` spares what it has not acknowledged."""
    async with await opened(server) as transport:
        await transport.ensure_stream(STREAM)
        id = await transport.publish("gbe.billing.invoice", PAYLOAD)
        output = await shell(server, commands("consume"))
        assert output.count(id) == 2
        assert output.count(PAYLOAD.decode()) == 2
        far = 1 << 44
        assert encode_ulid(far, 0) > id
        assert await transport.trim("gbe.billing.invoice", far) == 0
        (entry,) = await transport.read("gbe.billing.invoice")
        await shell(server, f"redis-cli XACK gbe:billing:invoice archive {entry.position}")
        assert await transport.trim("gbe.billing.invoice", far) == 1
