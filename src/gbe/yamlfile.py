"""YAML as people write it: what its readers let pass in silence is an error that names the line."""

from pathlib import Path
from typing import Any

import yaml

from gbe.errors import ConfigError


def parse_yaml(text: str, path: Path) -> Any:
    """The document of a file.

    Raises:
        ConfigError: it is not YAML, or a name is there twice in one mapping; names the file and the line.
    """
    try:
        _check_names(yaml.compose(text, Loader=yaml.SafeLoader), path)
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError(f"{path} is not YAML: {exc}") from None


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
