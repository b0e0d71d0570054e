"""The worker's program of ``bench_jobs``: tasks that do nothing, so that what is measured is all around them."""

import gbe

app = gbe.App()


@app.task("noop")
async def noop(number: int = 0) -> int:
    """One task of a chain, or one item."""
    return number


@app.task("numbers")
async def numbers(count: int) -> list[int]:
    """What the fan-out goes over."""
    return list(range(count))


@app.task("gather")
async def gather(found: list[int]) -> int:
    """The fan-in: it is given the result of every item."""
    return len(found)
