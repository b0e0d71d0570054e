"""The options of ``gbe deadletters …``; what they do is loaded when they are called."""

from typing import Annotated

import typer

from gbe.cli.options import ConfigOption, CursorOption, DataDirOption, JsonOption, TransportOption, load_settings

deadletters_app = typer.Typer(
    name="deadletters", help="Look into what failed for good, and send it again.", no_args_is_help=True
)

DomainOption = Annotated[str | None, typer.Option(metavar="DOMAIN", help="Only of this domain: events, tasks, …")]
SubjectOption = Annotated[str | None, typer.Option(metavar="PATTERN", help="Only from these subjects.")]
GroupOption = Annotated[str | None, typer.Option(metavar="GROUP", help="Only of this consumer group.")]
ReasonOption = Annotated[str | None, typer.Option(metavar="TEXT", help="Only with this in reason or error type.")]
FingerprintOption = Annotated[str | None, typer.Option(metavar="HEX", help="Only alike failures; see `groups`.")]
StatusOption = Annotated[
    str | None, typer.Option(metavar="STATUS", help="Only open, redriving, redriven or discarded ones.")
]
SinceOption = Annotated[str | None, typer.Option(metavar="WHEN", help="Failed since: 2h, ISO 8601, unix ms.")]
UntilOption = Annotated[str | None, typer.Option(metavar="WHEN", help="Failed before.")]
AllOption = Annotated[bool, typer.Option("--all", help="All that are open: needed without ids and filters.")]
LimitOption = Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many, the oldest first.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="Ids of letters.", show_default=False)]


@deadletters_app.command("list")
def deadletters_list(
    domain: DomainOption = None,
    subject: SubjectOption = None,
    group: GroupOption = None,
    reason: ReasonOption = None,
    fingerprint: FingerprintOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.")] = 50,
    cursor: CursorOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List dead letters, the one that failed last first."""
    from gbe.cli.deadletters import list_letters, parse_filter

    wanted = parse_filter(domain, subject, group, reason, fingerprint, status, since, until)
    list_letters(load_settings(config, data_dir, transport), wanted, limit=limit, cursor=cursor, json=json)


@deadletters_app.command("groups")
def deadletters_groups(
    domain: DomainOption = None,
    subject: SubjectOption = None,
    group: GroupOption = None,
    reason: ReasonOption = None,
    fingerprint: FingerprintOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Put alike failures together, the largest group first."""
    from gbe.cli.deadletters import groups, parse_filter

    wanted = parse_filter(domain, subject, group, reason, fingerprint, status, since, until)
    groups(load_settings(config, data_dir, transport), wanted, json=json)


@deadletters_app.command("show")
def deadletters_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a letter.", show_default=False)],
    payload: Annotated[bool, typer.Option("--payload", help="Write the original's payload, and nothing else.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show a dead letter with the message that failed."""
    from gbe.cli.deadletters import show

    show(load_settings(config, data_dir, transport), letter_id, payload=payload, json=json)


@deadletters_app.command("redrive")
def deadletters_redrive(
    letter_ids: IdsArgument = None,
    domain: DomainOption = None,
    subject: SubjectOption = None,
    group: GroupOption = None,
    reason: ReasonOption = None,
    fingerprint: FingerprintOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    to: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Send them there instead.")] = None,
    rate: Annotated[float, typer.Option(metavar="N", help="Letters a second, at most.")] = 100.0,
    limit: LimitOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print how many would be sent, and send nothing.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Send dead letters again, each once; interrupted, run it again: nothing is sent twice."""
    from gbe.cli.deadletters import choose, parse_filter, redrive
    from gbe.deadletters.letters import RedriveOptions

    filtered = parse_filter(domain, subject, group, reason, fingerprint, status, since, until)
    wanted = choose(letter_ids or [], filtered, everything=everything)
    options = RedriveOptions(to=to, rate=rate, limit=limit)
    redrive(load_settings(config, data_dir, transport), wanted, options, dry_run=dry_run, json=json)


@deadletters_app.command("discard")
def deadletters_discard(
    letter_ids: IdsArgument = None,
    domain: DomainOption = None,
    subject: SubjectOption = None,
    group: GroupOption = None,
    reason: ReasonOption = None,
    fingerprint: FingerprintOption = None,
    status: StatusOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    limit: LimitOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Give dead letters up: they are never sent again, and stay listed until their retention is over."""
    from gbe.cli.deadletters import choose, discard, parse_filter

    filtered = parse_filter(domain, subject, group, reason, fingerprint, status, since, until)
    wanted = choose(letter_ids or [], filtered, everything=everything)
    discard(load_settings(config, data_dir, transport), wanted, limit=limit, json=json)
