"""YAML as people write it: what its readers let pass in silence is an error that names the line."""

from pathlib import Path
from typing import Any, Final

import yaml

from gbe.errors import ConfigError

MAX_VALUES: Final = 1_000_000
"""Of a file, each alias counted as what it stands for."""


def parse_yaml(text: str, path: Path) -> Any:
    """The document of a file.

    Raises:
        ConfigError: it is not YAML, a name is there twice in one mapping, or aliases of aliases make a small file
            large; names the file, and the line as far as there is one.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_names(tree, path)
        if tree is not None and _expanded(tree, {}) > MAX_VALUES:
            raise ConfigError(f"{path}: its aliases stand for more than {MAX_VALUES} values; write less of it by alias")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        raise ConfigError(f"{path} is not YAML: {_line(exc)}{_problem(exc)}") from None
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path} is not YAML: {str(exc).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, or an alias within itself; flatten it") from None


def _check_names(tree: yaml.Node | None, path: Path) -> None:
    """YAML readers let the last of two equal names win, silently; here they are an error."""
    left, seen = [] if tree is None else [tree], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                left.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in names:
                    line = key.start_mark.line + 1
                    raise ConfigError(f"{path}, line {line}: {key.value[:60]} is there twice; rename or remove one")
                names.add(key.value)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for. Raises ``RecursionError`` for one that contains itself."""
    size = known.get(id(node))
    if size is not None:
        return size
    if isinstance(node, yaml.SequenceNode):
        size = 1 + sum(_expanded(value, known) for value in node.value)
    elif isinstance(node, yaml.MappingNode):
        size = 1 + sum(_expanded(value, known) for pair in node.value for value in pair)
    else:
        size = 1
    known[id(node)] = size
    return size


def _line(exc: yaml.MarkedYAMLError) -> str:
    return "" if exc.problem_mark is None else f"line {exc.problem_mark.line + 1}: "


def _problem(exc: yaml.MarkedYAMLError) -> str:
    """What was found, and in what: that may begin lines earlier."""
    context = exc.context or ""
    if exc.context_mark is not None:
        context += f" that begins in line {exc.context_mark.line + 1}"
    return ", ".join(part for part in (exc.problem, context) if part)
