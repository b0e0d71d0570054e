"""The program of workers whose metrics are looked at."""

from tests.tasks.program import app as other

import gbe
from gbe import TaskContext

app = gbe.App()
app.functions["work"] = other.functions["work"]


@app.task("counted", backoff="none")
async def counted(ctx: TaskContext) -> None:
    """Fail once, and submit another task in the second attempt."""
    if ctx.attempt == 1:
        raise OSError("again")
    await app.submit("work", number=1)
