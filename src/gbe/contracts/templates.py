"""The texts of a new domain; ``@name@`` and the like are filled in."""

from typing import Final

MODULE: Final = '''"""Events of @name@: their types, a publisher that checks them, and a handler to begin with.

gbe serve                       in one terminal, in the folder of gbe.yaml
gbe worker @module@:app         in another one: handles what comes from now on
python @module@.py              publishes one event

schemas/json/@name@ says the same in every language; `gbe schema check` holds both together.
"""

import asyncio

import gbe
from gbe.events.domains import Publish
from gbe.schemas.events.base import Name, Text


class @type@(gbe.Event, frozen=True, kw_only=True):
    """`@name@.recorded`: something was recorded.

    Attributes:
        item: what it is about: kind and name, such as `invoice/17`.
        actor: who did it.
        note: more, in words.
    """

    item: Name
    actor: Name | None = None
    note: Text | None = None


class @publisher@:
    """Publishes the events of @name@; an event that its schema refuses raises `InvalidEventError` with the field."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def recorded(self, *, item: str, actor: str | None = None, note: str | None = None) -> str:
        """Something was recorded; returns the id of the message."""
        return await self._publish("@name@.recorded", @type@(item=item, actor=actor, note=note))


app = gbe.App()
app.events.register("@name@.recorded", @type@)
@variable@ = @publisher@(app.events.publish)


@app.on("@name@.recorded", group="@name@-example")
async def show(event: @type@) -> None:
    """Each event goes to one member of the group; what does not validate is a dead letter with the field's name."""
    print(event.item, event.actor, event.note)


async def main() -> None:
    """Publish one event."""
    async with app:
        print(await @variable@.recorded(item="invoice/17", actor="ann"))


if __name__ == "__main__":
    asyncio.run(main())
'''

CONFIGURATION: Final = """streams:
  - name: @name@
    subjects: ["@name@.>"]
    max_age: 30d
events:
  @name@.recorded: @module@:@type@
"""
