"""Options that most commands have, and the configuration they name."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from gbe.config import Settings

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file; gbe.yaml if there is one.")
]
DataDirOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Data directory of the embedded engine.")]
TransportOption = Annotated[str | None, typer.Option(metavar="embedded|URL", help="The message transport.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
CursorOption = Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on behind an earlier page.")]
WordsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="Parameters; a value may be JSON.")
]
ParamsOption = Annotated[str | None, typer.Option(metavar="JSON", help="Parameters as an object; `-` reads them.")]

_NONE: Final[Mapping[str, object]] = MappingProxyType({})


def load_settings(
    config: Path | None, data_dir: Path | None, transport: str | None = None, flags: Mapping[str, object] = _NONE
) -> "Settings":
    """The configuration of a command; what its ``flags`` say wins. Raises ``ConfigError``."""
    from gbe.config import load  # what only prints its help need not wait for it

    return load(config, flags={"data_dir": data_dir, "transport": transport, **flags})
