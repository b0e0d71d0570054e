"""Jobs while orchestrators, workers, the sweeper and the engine are killed; ``python -m chaos.jobs`` at full size."""

from pathlib import Path

import pytest
from chaos.jobs import Plan, run
from chaos.scene import engine_of

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_jobs_end_once_whoever_is_killed(kind: str, tmp_path: Path) -> None:
    """Every job as it should, every task once, no fan-in before its time."""
    with engine_of(kind, tmp_path) as engine:
        plan = Plan(jobs=16, seconds=5.0, pause=(0.2, 0.6), patience=80.0, quick=True)
        report = await run(engine, tmp_path, plan)
    assert not report.books.faults(), (tmp_path / "log").read_text()[-4000:]
    assert len(report.started) == 16
    assert report.faults["engine"]
    assert report.faults["orchestrator"]
