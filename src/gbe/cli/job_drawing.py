"""A job's graph in the terminal: layer by layer, the state of each task in a sign, a word and a colour."""

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from gbe.cli.output import clean
from gbe.graph.definition import JobDefinition
from gbe.graph.layers import layers

MARKS: Final = {
    "waiting": ("·", "dim"),
    "starting": ("…", "blue"),
    "running": ("▶", "blue"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("-", "dim"),
    "cancelled": ("✕", "yellow"),
}
_BAR: Final = 20


def drawing(definition: JobDefinition, tasks: list[dict[str, Any]]) -> RenderableType:
    """The graph of a job.

    Args:
        tasks: of ``views.document``, in the order of the definition.
    """
    lines: list[RenderableType] = []
    for level, row in enumerate(layers(definition)):
        if level:
            lines.append(Text("  │", "dim"))
        for place, number in enumerate(row):
            lines.append(_line(tasks[number], _branch(place, len(row))))
    return Group(*lines)


def _branch(place: int, count: int) -> str:
    if count == 1:
        return "─"
    return "┬" if place == 0 else "├" if place < count - 1 else "└"


def _line(task: dict[str, Any], branch: str) -> Text:
    mark, colour = MARKS[task["state"]]
    line = Text(f"  {branch}─ ", "dim")
    line.append(f"{mark} {clean(task['name'])}", f"bold {colour}" if colour != "dim" else colour)
    line.append(f"  {task['state']}", colour)
    if (items := task.get("items")) is not None:
        line.append(f"  {_progress(task, items)}", "default")
    if undoing := task.get("undo"):
        line.append("  ↩ undone" if undoing == "completed" else f"  ↩ undo {undoing}", "yellow")
    if after := task.get("depends_on"):
        line.append(f"  ← {clean(', '.join(after))}", "dim")
    if error := task.get("error"):
        line.append(f"\n  │    {clean(error)}", "red")
    return line


def _progress(task: dict[str, Any], items: int) -> str:
    """How many of a fan-out's chunks are over; a chunk is some hundred items."""
    chunks: dict[str, int] = task.get("chunks", {})
    total, over = sum(chunks.values()), chunks.get("completed", 0) + chunks.get("failed", 0)
    filled = _BAR if not total else round(_BAR * over / total)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {items} items"
