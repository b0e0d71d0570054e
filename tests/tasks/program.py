"""The program of worker processes in fault tests."""

import asyncio
import os

import gbe

app = gbe.App()


@app.task("work", max_retries=50, backoff="none")
async def work(number: int, seconds: float = 0.01) -> int:
    """Do something for a while."""
    await asyncio.sleep(seconds)
    return number


@app.task("where", max_retries=50, backoff="none")
async def where(seconds: float = 0.0) -> int:
    """Say which process ran it; its output tells when it begins."""
    print(f"where runs in {os.getpid()}", flush=True)  # noqa: T201
    await asyncio.sleep(seconds)
    return os.getpid()


@app.task("steps", max_retries=0)
async def steps(ctx: gbe.TaskContext, seconds: float) -> None:
    """Say how far it is, and stand still."""
    ctx.progress(1, 3, "the first")
    await asyncio.sleep(seconds)
    ctx.progress(3, 3, "the last")
