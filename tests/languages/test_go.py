"""Go beside Python, live: the examples of the module on the engines that they are for."""

import asyncio
import json
import shlex
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.archive.test_archiver import Archive
from tests.deployments import ClusterBoth, Deployment, Engine, NatsBoth, RedisBoth
from tests.languages.go import MODULE, Ran, built, run, shell
from tests.naming import unique
from tests.redis_engines import MEMORYDB_RULES, RedisCluster, RedisProcess
from tests.story.test_other_programs import commands
from tests.waiting import eventually

from gbe.events.publisher import EventPublisher
from gbe.ids import is_ulid

pytestmark = [
    pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go toolchain (https://go.dev/dl)"),
    pytest.mark.timeout(300),  # the first one builds
]


class SmallCluster(ClusterBoth):
    """Three masters, under MemoryDB's rules."""

    def __init__(self, folder: Path) -> None:
        self.cluster = RedisCluster(folder / "cluster", acl=MEMORYDB_RULES, replicas=0)


ENGINES: dict[str, Callable[[Path], Engine]] = {"nats": NatsBoth, "redis": RedisBoth, "cluster": SmallCluster}
ROOT = MODULE.parents[2]
PAGE = ROOT / "docs" / "languages-go.md"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
AFTER = '{"n":18446744073709551615,"é":[0.1,null,"😀"]}'


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that the tests of this file share."""
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The examples; a worker of pytest-xdist has a folder in that of the run."""
    base = tmp_path_factory.getbasetemp()
    return built(base if worker_id == "master" else base.parent)


@pytest.fixture
async def deployment(engine: Engine, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A namespace that no other test has."""
    deployment = Deployment(engine, unique("g"), tmp_path)
    yield deployment
    await deployment.close()


def block(words: str, language: str) -> str:
    """What the page has between fences, behind some words."""
    rest = PAGE.read_text().partition(words)[2]
    return rest.partition(f"```{language}\n")[2].partition("```")[0]


class Go:
    """The examples, told of a deployment."""

    def __init__(self, programs: Path, deployment: Deployment) -> None:
        name = "nats" if isinstance(deployment.engine, NatsBoth) else "redis"
        self._programs = programs
        self._words = ("-engine", name, "-url", deployment.engine.url, "-namespace", deployment.namespace)

    async def publish(self, *words: str) -> Ran:
        """One event."""
        return await asyncio.to_thread(run, self._programs / "publish", *self._words, *words)

    async def consume(self, count: int) -> Ran:
        """So many events, for the group ``mirror``."""
        words = ("-group", "mirror", "-count", str(count))
        return await asyncio.to_thread(run, self._programs / "consume", *self._words, *words)


@pytest.fixture
def go(programs: Path, deployment: Deployment) -> Go:
    """The examples."""
    return Go(programs, deployment)


async def test_what_go_publishes_is_archived_and_one_key_is_stored_once(deployment: Deployment, go: Go) -> None:
    """The archiver follows a pattern: it finds a subject that Go uses first. The key is one for both languages."""
    archive = Archive(deployment)
    transport = (await deployment.backend()).transport
    async with archive.archiving():
        first = await go.publish("-actor", "ann", "-after", AFTER, "-traceparent", TRACE)
        keyed = [await go.publish("-actor", "bob", "-key", "invoice-17") for _ in range(2)]
        assert [said.err for said in (first, *keyed)] == ["", "", ""]
        assert keyed[1].out == "stored before\n"
        ids = {first.out.strip(): "ann", keyed[0].out.strip(): "bob"}
        assert all(is_ulid(id) for id in ids)
        again = await transport.publish(archive.subject("change"), b"{}", idempotency_key="invoice-17", timeout=30.0)
        assert again == keyed[0].out.strip()
        await eventually(archive.is_acknowledged, "all of it is in the archive")
    rows = {row.id: row for row in await archive.rows()}
    assert {id: json.loads(row.payload)["actor"] for id, row in rows.items()} == ids
    row = rows[first.out.strip()]
    payload = json.loads(row.payload)
    assert (row.subject, row.traceparent) == (archive.subject("change"), TRACE)
    assert (payload["v"], payload["action"], payload["target"]) == (1, "update", "invoice/17")
    assert payload["after"] == json.loads(AFTER)
    assert is_ulid(payload["id"])
    assert 0 <= row.timestamp - payload["ts"] < 60_000


async def test_go_consumes_what_python_publishes(deployment: Deployment, go: Go) -> None:
    """With its envelope, by its schema. What does not fit is told with its path, and not delivered again."""
    transport = (await deployment.backend()).transport
    events = EventPublisher(transport, deployment.namespace)
    subject = f"{deployment.namespace}.events.audit.change"
    await events.audit.change(actor="ann", action="update", target="invoice/17", after=json.loads(AFTER))
    broken = await transport.publish(subject, b'{"v":1,"ts":1,"id":"a","actor":"","action":"b","target":"c"}')
    traced = await transport.publish(
        subject, b'{"v":1,"ts":1,"id":"a","actor":"bob","action":"b","target":"c","new":1}', traceparent=TRACE
    )
    said = await go.consume(3)
    assert said.returncode == 0, said.err
    assert said.err == f"consume: {broken} is refused: actor: bound: expected 1 to 256 characters, not 0\n"
    ann, bob = said.lines
    assert (ann["subject"], ann["schema"], ann["payload"]["actor"]) == (subject, "events/audit-change", "ann")
    assert ann["payload"]["after"] == json.loads(AFTER)
    assert (bob["id"], bob["traceparent"]) == (traced, TRACE)
    assert bob["payload"] == {"v": 1, "ts": 1, "id": "a", "actor": "bob", "action": "b", "target": "c"}
    last = await events.audit.change(actor="eve", action="update", target="invoice/17")
    assert [line["id"] for line in (await go.consume(1)).lines] == [last]


async def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    """``docs/languages-go.md``: the module, the program, and the examples on an engine with gbe's streams."""
    billing, checkout = tmp_path / "billing", tmp_path / "gbe"
    billing.mkdir()
    checkout.symlink_to(ROOT)
    (billing / "main.go").write_text(block("<!-- payloads:", "go"))
    said = await asyncio.to_thread(shell, f"{block('<!-- module:', 'sh')}go run .", billing)
    assert said.out == block("It prints", "text")
    with NatsBoth(tmp_path) as engine:
        deployment = Deployment(engine, "gbe", tmp_path)
        await deployment.backend()
        await deployment.close()
        commands = block("<!-- events:", "sh").replace("nats://127.0.0.1:4222", engine.url)
        said = await asyncio.to_thread(shell, commands, ROOT)
    one, other, before, *consumed = said.out.splitlines()
    assert before == "stored before"
    events = [json.loads(line) for line in consumed]
    assert [event["id"] for event in events] == [one, other]
    assert [event["payload"]["actor"] for event in events] == ["ann", "bob"]


@pytest.mark.parametrize("engine_of", [RedisProcess, RedisCluster])
async def test_go_needs_no_more_rights_than_are_documented(
    engine_of: type[RedisProcess | RedisCluster], programs: Path, tmp_path: Path
) -> None:
    """``docs/redis.md``: a user for other programs publishes with an idempotency key, and consumes."""
    rules = shlex.split(commands("user").replace("\\\n", " "))[1:]
    with engine_of(tmp_path / "engine") as engine:
        for node in engine.nodes if isinstance(engine, RedisCluster) else [engine]:
            node.call(*rules)
        url = engine.url.replace("://", "://billing:s3cret@")
        words = ("-engine", "redis", "-url", url, "-subject", "billing.invoice", "-stream", "billing")
        for wanted in (is_ulid, "stored before\n".__eq__):
            said = await asyncio.to_thread(run, programs / "publish", *words, "-actor", "ann", "-key", "invoice-17")
            assert said.returncode == 0, said.err
            assert wanted(said.out) or wanted(said.out.strip())
        said = await asyncio.to_thread(run, programs / "consume", *words, "-group", "mirror", "-count", "1")
        assert (said.returncode, len(said.lines)) == (0, 1), said.err


def test_go_refuses_what_does_not_fit_before_it_leaves(programs: Path) -> None:
    """With the path of the field; it does not even connect."""
    for words, path in (
        (("-actor", ""), "actor: bound"),
        (("-after", "{"), "after: type"),
        (("-traceparent", "00-a"), "traceparent: format"),
        (("-key", "a\nGbe-Id: b"), "idempotency_key: format"),
        (("-subject", "events.audit.*"), "subject: format"),
        (("-engine", "kafka"), "-engine"),
    ):
        said = run(programs / "publish", *words)
        assert (said.returncode, said.out) == (1, "")
        assert said.err.startswith(f"publish: {path}")
