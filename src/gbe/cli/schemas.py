"""What ``gbe schema …`` does."""

from pathlib import Path

import msgspec
import typer

from gbe.cli.output import clean, print_json
from gbe.contracts.check import Report, check
from gbe.contracts.folder import Contract, read_contract, read_releases, release
from gbe.contracts.scaffold import scaffold
from gbe.errors import ContractError


def check_schemas(folder: Path, against: Path | None, *, types: bool, json: bool) -> None:
    """Print what was looked at, or every rule that is broken. Raises ``ContractError``, ``typer.Exit``."""
    _, report = _checked(folder, against, types=types)
    if json:
        print_json(msgspec.to_builtins(report))
    else:
        for finding in report.findings:
            typer.echo(clean(str(finding)))
        _summary(report)
    if report.findings:
        raise typer.Exit(1)


def release_schemas(folder: Path, against: Path | None, *, types: bool) -> None:
    """Keep what passes as the next release. Raises ``ContractError``."""
    contract, report = _checked(folder, against, types=types)
    if report.findings:
        for finding in report.findings:
            typer.echo(clean(str(finding)))
        raise ContractError(f"nothing was released: {len(report.findings)} rules are broken")
    typer.echo(f"released as {release(contract, against or folder / 'released')}")


def new_domain(name: str, into: Path) -> None:
    """Write the files, and say what to do next. Raises ``ContractError``."""
    domain = scaffold(name)
    has_configuration = domain.write(into)
    for path in domain.files:
        typer.echo(into / path)
    if has_configuration:
        typer.echo(into / "gbe.yaml")
    else:
        typer.echo(f"\n{into / 'gbe.yaml'} is there already and was left alone. It needs:\n\n{domain.configuration}")
    typer.echo(f"\nnext: `gbe schema check {into / 'schemas'}`, and `gbe schema release` once others use them")


def _checked(folder: Path, against: Path | None, *, types: bool) -> tuple[Contract, Report]:
    if against is not None and not against.is_dir():
        raise ContractError(f"--against {against}: there is no such folder")
    contract = read_contract(folder)
    releases = read_releases(against or folder / "released")
    if against is not None and not releases:
        raise ContractError(f"--against {against}: expected folders v1, v2, …, or one with json/ in it")
    return contract, check(contract, releases, with_types=types)


def _summary(report: Report) -> None:
    looked = f"{report.schemas} schemas, {report.vectors} vectors, {report.releases} releases"
    if report.findings:
        typer.echo(f"{len(report.findings)} rules are broken ({looked})", err=True)
    else:
        typer.echo(f"nothing is broken ({looked})")
