"""Tasks of several steps, to watch: `make demo-tasks`, or the two commands in docs/tasks.md."""

import asyncio
import random
import time
from dataclasses import dataclass

import gbe

app = gbe.App()


@dataclass
class Report:
    """What a report task returns."""

    name: str
    rows: int


@app.task("report", step_timeout="10s", max_retries=3, backoff="exponential", backoff_base="500ms")
async def report(ctx: gbe.TaskContext, name: str, pages: int = 5) -> Report:
    """A report of some pages; now and then a page fails, and the task is retried."""
    rows = 0
    for page in range(1, pages + 1):
        await asyncio.sleep(0.4)
        if ctx.attempt == 1 and random.random() < 0.1:
            raise ConnectionError(f"the database closed the connection on page {page}")
        rows += random.randint(100, 1000)
        ctx.progress(page, pages, f"page {page}: {rows} rows")
    return Report(name, rows)


@app.task("thumbnail", concurrency=2)
def thumbnail(ctx: gbe.TaskContext, image: str) -> str:
    """A plain function: it runs in a thread."""
    for step, size in enumerate((64, 256, 1024), 1):
        time.sleep(0.3)
        ctx.progress(step, 3, f"{size} px")
    return f"{image}-1024.webp"
