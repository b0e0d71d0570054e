"""The tasks of a job in the shape of a diamond: ``gbe worker parts:app`` in this folder. See docs/jobs.md."""

import gbe

app = gbe.App()


@app.task("fetch")
async def fetch(count: int) -> list[int]:
    return list(range(count))


@app.task("square", max_retries=3, backoff_base="100ms")
async def square(ctx: gbe.TaskContext, number: int) -> int:
    if number == 7 and ctx.attempt < 3:
        raise RuntimeError("not yet")
    return number * number


@app.task("audit")
async def audit(count: int) -> str:
    return f"{count} numbers"


@app.task("report")
async def report(squares: list[int], audit: str) -> str:
    return f"{audit}, {sum(squares)} in all"
