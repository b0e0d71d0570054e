"""A graph in layers, for drawings: each task lies below everything that it depends on. Pure; no I/O."""

from gbe.graph.definition import JobDefinition

_SWEEPS = 4


def layers(definition: JobDefinition) -> list[list[int]]:
    """Numbers of tasks, layer by layer, ordered within each so that few edges cross (the barycentre method)."""
    depth: dict[int, int] = {}
    above = [[definition.numbers[name] for name in node.depends_on] for node in definition.nodes]
    for number in range(len(definition.nodes)):  # in the order of the definition everything comes after its needs
        depth[number] = max((depth[one] + 1 for one in above[number]), default=0)
    found: list[list[int]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for number, level in depth.items():
        found[level].append(number)
    below: list[list[int]] = [[] for _ in above]
    for number, needs in enumerate(above):
        for one in needs:
            below[one].append(number)
    for sweep in range(_SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        rows = found[1:] if sweep % 2 == 0 else found[-2::-1]
        places = {number: place for row in found for place, number in enumerate(row)}
        for row in rows:
            row.sort(key=lambda number: _centre([places[one] for one in neighbours[number]], places[number]))
            places.update({number: place for place, number in enumerate(row)})
    return found


def _centre(places: list[int], own: int) -> float:
    return sum(places) / len(places) if places else float(own)
