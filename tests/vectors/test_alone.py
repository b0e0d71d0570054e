"""The contract's types and codecs without the rest of gbe's dependencies."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import importlib, importlib.abc, pkgutil, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in sys.stdlib_module_names and root not in ("gbe", "msgspec"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Refuse())
try:
    import redis
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("nothing is refused")

import gbe.schemas
names = [module.name for module in pkgutil.walk_packages(gbe.schemas.__path__, "gbe.schemas.")]
names += ["gbe.lifecycle." + name for name in ("record", "moves", "names", "history")]
names += ["gbe.graph.record", "gbe.graph.names"]
names += ["gbe.transport.nats.wire", "gbe.transport.redis.wire", "gbe.state.nats.wire"]
for name in names:
    importlib.import_module(name)
from gbe.schemas.events.audit import AuditChange
from gbe.schemas.events.registry import EventRegistry
import msgspec
event = AuditChange(actor="ann", action="update", target="invoice/17")
assert EventRegistry().decode("events.audit.change", msgspec.json.encode(event)) == event
print(len(names))
"""


def test_schemas_and_codecs_need_msgspec_and_nothing_else() -> None:
    """In a process that can import nothing but the standard library, msgspec and gbe itself."""
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{PROGRAM}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 20
