"""``gbe config show`` and ``gbe config check``."""

from pathlib import Path

import typer
import yaml

from gbe.config import load, shown


def show(file: Path | None) -> None:
    """Print every key with its effective value."""
    settings = load(file)
    nested: dict[str, object] = {}
    for name, value in shown(settings).items():
        section, dot, key = name.partition(".")
        if dot:
            part = nested.setdefault(section, {})
            if isinstance(part, dict):
                part[key] = value
        else:
            nested[name] = value
    nested["streams"] = [
        {
            "name": stream.name.removeprefix(f"{settings.namespace}-"),
            "subjects": [subject.removeprefix(f"{settings.namespace}.") for subject in stream.subjects],
            "max_age": stream.max_age,
            "max_bytes": stream.max_bytes,
            "max_msgs": stream.max_msgs,
            "storage": stream.storage,
            "replicas": stream.replicas,
            "dedup_window": stream.dedup_window,
        }
        for stream in settings.streams
    ]
    typer.echo(yaml.safe_dump(nested, sort_keys=False, allow_unicode=True), nl=False)


def check(file: Path | None) -> None:
    """Say that the configuration is fine; what is not raises ``ConfigError``."""
    settings = load(file)
    for warning in settings.warnings:
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"configuration is fine: {settings.transport_kind} transport, {len(settings.streams)} streams")
