"""The jobs of fault tests and of ``chaos.jobs``: diamonds whose items may fail, and some that are bound to fail."""

import asyncio
from typing import Any, Final

import gbe

ITEMS: Final = 10
SOUND: Final = "sound"
DOOMED: Final = "doomed"

app = gbe.App()

_BRANCHES: Final[dict[str, Any]] = {
    "fetch": {"input_from": {"count": "params.count"}, "compensate": "undo"},
    "square": {"for_each": "fetch", "input_from": {"number": "item"}},
    "audit": {"depends_on": "fetch", "input_from": {"count": "params.count"}},
}
_REPORT: Final = {"input_from": {"squares": "square", "audit": "audit"}}
app.job(SOUND, {**_BRANCHES, "report": _REPORT}, params={"count": ITEMS})
app.job(
    DOOMED,
    {**_BRANCHES, "break": {"depends_on": ["square", "audit"]}, "report": {**_REPORT, "depends_on": "break"}},
    params={"count": ITEMS},
)


@app.task("fetch", max_retries=50, backoff="none")
async def fetch(count: int) -> list[int]:
    """What the fan-out goes over."""
    await asyncio.sleep(0.01)
    return list(range(count))


@app.task("square", max_retries=50, backoff="none")
async def square(ctx: gbe.TaskContext, number: int) -> int:
    """One item fails twice before it succeeds."""
    await asyncio.sleep(0.02)
    if number == ITEMS - 3 and ctx.retry_count < 2:
        raise RuntimeError("not yet")
    return number * number


@app.task("audit", max_retries=50, backoff="none")
async def audit(count: int) -> str:
    """The other branch."""
    await asyncio.sleep(0.05)
    return f"{count} numbers"


@app.task("report", max_retries=50, backoff="none")
async def report(squares: list[int], audit: str) -> str:
    """The fan-in; a missing part of what it waits for fails it, or shows in its result."""
    return f"{audit}, {sum(squares)} in all"


@app.task("break", max_retries=0)
async def break_() -> None:
    """Fails its job."""
    raise RuntimeError("broken")


@app.task("undo", max_retries=50, backoff="none")
async def undo(job: str, task: str, result: list[int]) -> str:
    """What ``fetch`` has done."""
    return f"{task} of {job}: {len(result)} undone"
