"""The options of ``gbe notify …``; what they do is loaded when they are called. Names and flags are ntfy's."""

from pathlib import Path
from typing import Annotated

import typer

from gbe.cli.options import ConfigOption, DataDirOption, JsonOption, TransportOption, load_settings
from gbe.cli.webpush_commands import webpush_app

notify_app = typer.Typer(
    name="notify", help="The notification server: users, what they may, web push.", no_args_is_help=True
)
user_app = typer.Typer(name="user", help="Make, change, list and remove users.", no_args_is_help=True)
token_app = typer.Typer(name="token", help="Make, list and remove access tokens.", no_args_is_help=True)
notify_app.add_typer(user_app)
notify_app.add_typer(token_app)
notify_app.add_typer(webpush_app)

UserArgument = Annotated[str, typer.Argument(metavar="USERNAME", show_default=False)]
OptionalUser = Annotated[str | None, typer.Argument(metavar="USERNAME", show_default=False)]
RoleOption = Annotated[str, typer.Option("--role", "-r", metavar="admin|user", help="What the user is.")]


@user_app.command("list")
def user_list(
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List users, and what they may."""
    from gbe.cli.notify_users import list_users

    list_users(load_settings(config, data_dir, transport), json=json)


@user_app.command("add")
def user_add(
    username: UserArgument,
    role: RoleOption = "user",
    ignore_exists: Annotated[
        bool, typer.Option("--ignore-exists", "-i", help="No error if there is such a user.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Make a user. The password is asked for, or in $NTFY_PASSWORD, or its bcrypt hash in $NTFY_PASSWORD_HASH."""
    from gbe.cli.notify_users import add_user

    settings = load_settings(config, data_dir, transport)
    add_user(settings, username, role, ignore_exists=ignore_exists)


@user_app.command("del")
@user_app.command("remove", hidden=True)
@user_app.command("rm", hidden=True)
def user_del(
    username: UserArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Remove a user, with tokens and entries; open streams of the user end."""
    from gbe.cli.notify_users import remove_user

    remove_user(load_settings(config, data_dir, transport), username)


@user_app.command("change-pass")
@user_app.command("chp", hidden=True)
def user_change_pass(
    username: UserArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Change a password: asked for, or from $NTFY_PASSWORD, or as a hash from $NTFY_PASSWORD_HASH."""
    from gbe.cli.notify_users import change_password

    change_password(load_settings(config, data_dir, transport), username)


@user_app.command("change-role")
@user_app.command("chr", hidden=True)
def user_change_role(
    username: UserArgument,
    role: Annotated[str, typer.Argument(metavar="admin|user", show_default=False)],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Make a user an administrator, or an ordinary user."""
    from gbe.cli.notify_users import change_role

    change_role(load_settings(config, data_dir, transport), username, role)


@user_app.command("hash")
def user_hash() -> None:
    """Print the bcrypt hash of a password, for `notify.auth_users`; nothing is stored."""
    from gbe.cli.notify_users import print_hash

    print_hash()


@notify_app.command("access")
def access(
    username: OptionalUser = None,
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", show_default=False)] = None,
    permission: Annotated[str | None, typer.Argument(metavar="PERMISSION", show_default=False)] = None,
    reset: Annotated[bool, typer.Option("--reset", "-r", help="Remove entries instead.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show or change who may what: `access`, `access USER`, `access USER TOPIC PERMISSION`, `access --reset …`.

    A topic may hold `*`. USER is `everyone` for anonymous callers. Permissions: read-write (rw), read-only (ro),
    write-only (wo), deny-all (deny).
    """
    from gbe.cli.notify_users import allow, list_users, reset_access

    settings = load_settings(config, data_dir, transport)
    if reset:
        if permission is not None:
            raise typer.BadParameter("--reset takes at most a user and a topic")
        reset_access(settings, username, topic)
    elif topic is None:
        list_users(settings, username, json=json)
    elif username is None or permission is None:
        raise typer.BadParameter("name a user, a topic and a permission")
    else:
        allow(settings, username, topic, permission)


@token_app.command("add")
def token_add(
    username: UserArgument,
    expires: Annotated[
        str | None, typer.Option("--expires", "-e", metavar="DURATION", help="How long it lives; for ever by default.")
    ] = None,
    label: Annotated[str, typer.Option("--label", "-l", metavar="TEXT", help="What people call it.")] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Make a token and print it: it is not shown again, only its hash is kept."""
    from gbe.cli.notify_users import add_token

    settings = load_settings(config, data_dir, transport)
    add_token(settings, username, expires=expires, label=label, json=json)


@token_app.command("list")
def token_list(
    username: OptionalUser = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List tokens, of one user or of all: their beginnings, labels, last use, expiry."""
    from gbe.cli.notify_users import list_tokens

    list_tokens(load_settings(config, data_dir, transport), username, json=json)


@token_app.command("remove")
@token_app.command("del", hidden=True)
@token_app.command("rm", hidden=True)
def token_remove(
    username: UserArgument,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="In full, or as `list` shows it.", show_default=False)],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Remove a token of a user."""
    from gbe.cli.notify_users import remove_token

    remove_token(load_settings(config, data_dir, transport), username, token)


@token_app.command("generate")
def token_generate() -> None:
    """Print a random token, for `notify.auth_tokens`; nothing is stored."""
    from gbe.notify.access.tokens import new_token

    typer.echo(new_token())


@notify_app.command("import-ntfy")
def import_ntfy(
    cache_file: Annotated[
        Path | None, typer.Option("--cache-file", metavar="FILE", help="ntfy's `cache-file`: messages.")
    ] = None,
    auth_file: Annotated[
        Path | None, typer.Option("--auth-file", metavar="FILE", help="ntfy's `auth-file`: users, entries, tokens.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Bring users and messages of an ntfy server over. Safe to repeat: nothing is there twice."""
    from gbe.cli.notify_import import import_files

    if cache_file is None and auth_file is None:
        raise typer.BadParameter("name --cache-file, --auth-file or both")
    settings = load_settings(config, data_dir, transport)
    import_files(settings, cache_file=cache_file, auth_file=auth_file, dry_run=dry_run, json=json)
