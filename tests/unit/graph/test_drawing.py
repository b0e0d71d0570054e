"""Pictures of graphs: every task once, nothing above what it depends on, and nothing of theirs is markup."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from gbe.graph.definition import JobDefinition, parse_definition
from gbe.graph.layers import layers
from gbe.graph.svg import svg

SPACE = "{http://www.w3.org/2000/svg}"


@st.composite
def definitions(draw: st.DrawFn) -> JobDefinition:
    """A graph of up to 30 tasks."""
    names = [f"t{number}" for number in range(draw(st.integers(1, 30)))]
    tasks = {
        name: {"task": "x", "depends_on": draw(st.lists(st.sampled_from(names[:number]), unique=True, max_size=4))}
        if number
        else {"task": "x"}
        for number, name in enumerate(names)
    }
    return parse_definition("job", {"tasks": tasks})


@given(definitions())
def test_each_task_lies_below_what_it_depends_on(definition: JobDefinition) -> None:
    level = {number: at for at, row in enumerate(layers(definition)) for number in row}
    assert sorted(level) == list(range(len(definition.nodes)))
    for number, node in enumerate(definition.nodes):
        above = [level[definition.numbers[name]] for name in node.depends_on]
        assert level[number] == max(above, default=-1) + 1


@given(definitions())
def test_a_picture_is_well_formed_and_has_each_task_and_each_edge(definition: JobDefinition) -> None:
    root = ET.fromstring(svg(definition, {node.name: "running, <3> items" for node in definition.nodes}))  # noqa: S314  our own
    assert len(root.findall(f"{SPACE}g")) == len(definition.nodes)
    edges = [path for path in root.findall(f"{SPACE}path") if path.get("marker-end")]
    assert len(edges) == sum(len(node.depends_on) for node in definition.nodes)
    states = [text.text for text in root.iter(f"{SPACE}text") if text.get("class") == "s"]
    assert states == ["running, <3> items"] * len(definition.nodes)
    colours = {box.get("fill") for box in root.iter(f"{SPACE}rect")}
    assert colours == {"#b9d2ff"}, "the first word chooses the colour, whatever follows it"
