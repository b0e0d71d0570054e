"""The options of ``gbe publish`` and ``gbe subscribe``; what they do is loaded when they are called."""

import os
from pathlib import Path
from typing import Annotated

import typer

ServerOption = Annotated[
    str | None, typer.Option(metavar="URL", help="The server, unless TOPIC is a URL. Default: http://127.0.0.1:8080.")
]
UserOption = Annotated[
    str | None,
    typer.Option(metavar="USER[:PASSWORD]", help="Log in; a missing password is asked for. Else from $NTFY_USER."),
]
TokenOption = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="Log in with an access token. Else from $NTFY_TOKEN.")
]
RetryOption = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.0, help="How long to try a server that is busy or not there.")
]


def publish(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="A topic, or its URL.", show_default=False)],
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="The text; `-`, or nothing: what is piped in.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", "-t", metavar="TEXT", help="Title.")] = None,
    priority: Annotated[
        str | None, typer.Option("--priority", "-p", metavar="1…5|NAME", help="min, low, default, high or max.")
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tags", "-T", metavar="TAG[,TAG…]", help="Tags; may be repeated.")
    ] = None,
    click: Annotated[str | None, typer.Option(metavar="URL", help="What a tap opens.")] = None,
    icon: Annotated[str | None, typer.Option(metavar="URL", help="An image to show.")] = None,
    actions: Annotated[str | None, typer.Option(metavar="TEXT|JSON", help="Up to three buttons.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", "-m", help="The message is Markdown.")] = False,
    delay: Annotated[str | None, typer.Option(metavar="WHEN", help="Deliver later: 30m, or unix seconds.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Send it there by e-mail too.")] = None,
    attach: Annotated[str | None, typer.Option(metavar="URL", help="Attach what is at that address.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Upload a file; `-` is standard input.")
    ] = None,
    filename: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the attachment.")] = None,
    sequence_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Replaces an earlier message with the same id.")
    ] = None,
    cache: Annotated[
        bool | None, typer.Option("--cache/--no-cache", help="Store it, or not.", show_default="the server's")
    ] = None,
    server: ServerOption = None,
    user: UserOption = None,
    token: TokenOption = None,
    retry: RetryOption = 10.0,
    json: Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Publish a message to a topic of any ntfy-compatible server."""
    from gbe.cli.client import authorization, parse_target
    from gbe.cli.publish import Draft
    from gbe.cli.publish import publish as run

    draft = Draft(
        message=message,
        title=title,
        priority=priority,
        tags=tags or (),
        click=click,
        icon=icon,
        actions=actions,
        markdown=markdown,
        delay=delay,
        email=email,
        attach=attach,
        file=file,
        filename=filename,
        sequence_id=sequence_id,
        cache=cache,
    )
    target = parse_target(topic, server)
    run(target, authorization(user, token, target, os.environ), draft, retry=retry, json=json, quiet=quiet)


def subscribe(
    topics: Annotated[str, typer.Argument(metavar="TOPIC[,TOPIC…]", help="Topics, or their URL.", show_default=False)],
    since: Annotated[
        str | None,
        typer.Option("--since", "-s", metavar="WHEN", help="Replay from then: 10m, unix seconds, an id, all, latest."),
    ] = None,
    poll: Annotated[bool, typer.Option("--poll", help="Print what is stored, then exit.")] = False,
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Show delayed messages before they are due.")] = False,
    filter_id: Annotated[str | None, typer.Option(metavar="ID", help="Only the message with this id.")] = None,
    filter_message: Annotated[str | None, typer.Option(metavar="TEXT", help="Only with exactly this text.")] = None,
    filter_title: Annotated[str | None, typer.Option(metavar="TEXT", help="Only with exactly this title.")] = None,
    filter_priority: Annotated[
        str | None, typer.Option(metavar="P[,P…]", help="Only with one of these priorities.")
    ] = None,
    filter_tags: Annotated[str | None, typer.Option(metavar="TAG[,TAG…]", help="Only with all of these tags.")] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", metavar="N", min=1, help="Exit after so many messages.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("--exec", metavar="CMD", help="Run this for every message instead of printing it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
    server: ServerOption = None,
    user: UserOption = None,
    token: TokenOption = None,
    retry: RetryOption = 10.0,
) -> None:
    """Print the messages of topics as they come, from any ntfy-compatible server, through its outages."""
    from gbe.cli.client import authorization, parse_target
    from gbe.cli.subscribe import Query, for_people, for_programs, to_command
    from gbe.cli.subscribe import subscribe as run

    if json and command is not None:
        raise typer.BadParameter("--exec prints nothing, so --json has nothing to do with it")
    filters = {
        "id": filter_id,
        "message": filter_message,
        "title": filter_title,
        "priority": filter_priority,
        "tags": filter_tags,
    }
    query = Query(since=since, poll=poll, scheduled=scheduled, filters=filters)
    output = to_command(command) if command is not None else for_programs() if json else for_people()
    target = parse_target(topics, server)
    run(target, authorization(user, token, target, os.environ), query, output, count=count, retry=retry)
