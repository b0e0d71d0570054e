"""The options of ``gbe notify …``; what they do is loaded when they are called."""

import typer

from gbe.cli.webpush_commands import webpush_app

notify_app = typer.Typer(name="notify", help="The notification server.", no_args_is_help=True)
notify_app.add_typer(webpush_app)
