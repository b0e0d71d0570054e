"""``gbe notify webpush …``."""

import typer

webpush_app = typer.Typer(name="webpush", help="Notifications in browsers.", no_args_is_help=True)


@webpush_app.command("keys")
def keys() -> None:
    """Make a pair of VAPID keys, as lines for the configuration file."""
    from gbe.notify.webpush.encryption import generate_keys

    public, private = generate_keys()
    typer.echo("notify:")
    typer.echo(f"  web_push_public_key: {public}")
    typer.echo(f"  web_push_private_key: {private}")
    typer.echo("Restart with another pair, and browsers have to subscribe anew.", err=True)
