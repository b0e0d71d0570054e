"""A subject that is added to an archive later is held from the moment an archiver with that configuration starts."""

from tests.retention.conftest import World, aged

from gbe.schemas.archive import ArchiveRule
from gbe.sweeper.retention import Retention


async def test_what_is_archived_from_now_on_is_held_from_now_on(world: World) -> None:
    """On a stream whose other subjects were archived before, and on one of which nothing was."""
    ns = world.namespace
    first = world.streams()
    first.archive = ArchiveRule("archiver", (f"{ns}.events.audit.access",))
    await first.ensure()
    await world.publish(world.audit, 2)
    await aged()
    await world.sweep_until(Retention(first), world.audit, [])  # nobody archives it

    later = world.streams()
    later.archive = ArchiveRule("archiver", (f"{ns}.events.audit.*", f"{ns}.work.>"))
    await later.ensure()
    work = f"{ns}.work.email"
    sent = {subject: await world.publish(subject, 3, first=5) for subject in (world.audit, work)}
    await aged()
    elsewhere = world.streams()  # a sweeper whose own configuration knows of no archive
    await elsewhere.ensure()
    done = await Retention(elsewhere).sweep()
    assert {name: "not archived yet" in reason for name, reason in done.held.items()} == {
        f"{ns}-audit": True,
        f"{ns}-work": True,
    }
    for subject, ids in sent.items():
        assert await world.stored(subject) == [b"5", b"6", b"7"]
        await world.confirm(subject, ids[1])
        await world.sweep_until(Retention(elsewhere), subject, [b"7"])
