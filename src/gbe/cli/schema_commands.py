"""The options of ``gbe schema …``; what they do is loaded when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from gbe.cli.options import JsonOption

schema_app = typer.Typer(name="schema", help="Schemas as files: begin, check and release them.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(metavar="[DIR]", help="Has json/ and vectors/.", show_default=True)]
AgainstOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Releases (v1, v2, …), or one.", show_default="DIR/released"),
]
TypesOption = Annotated[bool, typer.Option("--types/--no-types", help="Import and compare the types of x-python.")]


@schema_app.command("check")
def schema_check(
    folder: FolderArgument = Path("schemas"),
    against: AgainstOption = None,
    types: TypesOption = True,
    json: JsonOption = False,
) -> None:
    """Compare schemas with their releases, types and vectors; exit 1 and name file, field and rule of what breaks."""
    from gbe.cli.schemas import check_schemas

    check_schemas(folder, against, types=types, json=json)


@schema_app.command("release")
def schema_release(
    folder: FolderArgument = Path("schemas"),
    against: AgainstOption = None,
    types: TypesOption = True,
) -> None:
    """Check, then keep the schemas and vectors as the next release."""
    from gbe.cli.schemas import release_schemas

    release_schemas(folder, against, types=types)


@schema_app.command("new")
def schema_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the domain, such as billing.", show_default=False)],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path(),
) -> None:
    """Begin a domain of events: schema, vectors, types, publisher, handler and what gbe.yaml needs."""
    from gbe.cli.schemas import new_domain

    new_domain(name, into)
