"""The one direction of dependencies (docs/architecture.md): imports point up the list, never down.

Type-only imports count: an import used only for types couples two rooms just as much.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import gbe

ROOT: Final = Path(gbe.__file__).parent

# from the vocabulary to the programs; a room may import those above it and itself
LAYERS: Final[tuple[frozenset[str], ...]] = (
    frozenset(
        {"errors", "clock", "ids", "tracing", "durations", "sizes", "imports", "outbound", "yamlfile", "grace", "plain"}
    ),
    frozenset({"envelope", "subjects", "outage"}),
    frozenset({"schemas"}),
    frozenset({"lifecycle"}),  # what tasks and sweeper share: pure rules
    frozenset({"templates"}),  # the language of message templates: pure
    frozenset({"graph"}),  # the rules of jobs of many tasks: pure
    frozenset({"redis"}),  # the connection to an engine that more than one mechanism uses
    frozenset({"transport"}),
    frozenset({"state"}),
    frozenset({"objects"}),
    frozenset({"events", "tasks", "notify", "archive", "sweeper", "schedules", "deadletters", "jobs"}),
    frozenset({"metrics", "logs"}),
    frozenset({"starters"}),  # what schedules start: the one place that knows both
    frozenset({"http"}),
    frozenset({"ntfy_options"}),  # their names for what the configuration holds
    frozenset({"config"}),
    frozenset({"connect"}),  # opens what the configuration names
    frozenset({"workforce"}),  # tasks and events in one process
    frozenset({"app"}),
    frozenset({"contracts"}),  # schemas and vectors in folders; needs no engine
    frozenset({"cli", "testing"}),
)
DOMAINS: Final = frozenset({"events", "tasks", "notify", "archive", "sweeper", "schedules", "deadletters", "jobs"})
ENGINES: Final = {  # the client library of an engine is seen by its own back ends only
    "nats": ("gbe.transport.nats", "gbe.state.nats"),
    "redis": ("gbe.redis",),
    "hiredis": ("gbe.redis",),
    "obstore": ("gbe.objects.store",),
    "psycopg": ("gbe.archive.postgres",),
    "duckdb": ("gbe.archive.duck",),
    "fsspec": ("gbe.archive.duck",),
    "pyarrow": ("gbe.archive.files",),
    "zstandard": ("gbe.archive.files",),
    "isal": ("gbe.archive.files",),
    "re2": ("gbe.templates.functions.patterns",),
}
BACK_ENDS: Final = {  # who may know a back end of the transport: the other half of the same engine, and what opens it
    "gbe.state.nats": "gbe.transport.nats",
    "gbe.state.open": "gbe.transport.nats.config",
}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("gbe", *(part for part in parts if part != "__init__")))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "gbe")


def layer_of(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    raise AssertionError(f"gbe.{room} is in no layer: add it to LAYERS where it belongs")


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("gbe.") and name != "gbe.__version__"}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_up_the_list(path: Path) -> None:
    """A room knows nothing of the rooms below it."""
    room = name_of(path).split(".")[1]
    too_low = {other for other in rooms_imported(path) if other != room and layer_of(other) > layer_of(room)}
    assert not too_low, f"{name_of(path)} imports from below: {sorted(too_low)}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_domains_do_not_import_one_another(path: Path) -> None:
    """They meet through the transport, the state store and the schemas."""
    room = name_of(path).split(".")[1]
    others = rooms_imported(path) & (DOMAINS - {room}) if room in DOMAINS else set()
    assert not others, f"{name_of(path)} imports another domain: {sorted(others)}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_an_engine_is_seen_by_its_own_back_end_only(path: Path) -> None:
    """Application code never sees an engine's API."""
    for name in imports(path):
        homes = ENGINES.get(name.split(".")[0])
        assert homes is None or name_of(path).startswith(homes), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_back_ends_are_opened_in_one_place(path: Path) -> None:
    """Outside the transport, only what composes a program may name a back end."""
    name = name_of(path)
    if name.startswith(("gbe.transport", "gbe.config", "gbe.connect", "gbe.cli", "gbe.testing")):
        return
    own = tuple(back_end for room, back_end in BACK_ENDS.items() if name.startswith(room))
    backends = {n for n in imports(path) if n.startswith("gbe.transport.") and n != "gbe.transport.base"}
    backends = {n for n in backends if not n.startswith(own)}
    assert not backends, f"{name} knows a back end: {sorted(backends)}"


def test_every_room_is_in_the_documents_table() -> None:
    """docs/architecture.md says what is in each."""
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {room for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for room in re.findall(r"`(\w+)`", row)}
    assert not set().union(*LAYERS) - named


def test_the_vocabulary_stands_alone() -> None:
    """Ids, errors, envelope and subjects need the standard library, and msgspec for their values: nothing else."""
    for room in (
        "errors",
        "clock",
        "ids",
        "tracing",
        "durations",
        "sizes",
        "imports",
        "outbound",
        "envelope",
        "subjects",
    ):
        foreign = {n.split(".")[0] for n in imports(ROOT / f"{room}.py")} - {"gbe"}
        assert foreign <= {*sys.stdlib_module_names, "msgspec"}, f"gbe.{room} imports {sorted(foreign)}"
