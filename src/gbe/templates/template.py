"""The way in: text becomes a ``Template`` once, which renders data any number of times."""

from dataclasses import dataclass
from typing import Final

from gbe.errors import TemplateSyntaxError
from gbe.templates.functions import FUNCTIONS
from gbe.templates.interpreter import Interpreter
from gbe.templates.limits import MAX_SOURCE_BYTES, Budget, Limits
from gbe.templates.nodes import Block, Value
from gbe.templates.parser import Parser

DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been read."""

    block: Block
    slots: int

    @classmethod
    def parse(cls, source: str) -> "Template":
        """Read a template.

        Raises:
            TemplateSyntaxError: it cannot be read, or is longer than ``MAX_SOURCE_BYTES``.
            TemplateForbiddenError: it uses ``template``, ``define``, ``block`` or ``call``.
        """
        if len(source) > MAX_SOURCE_BYTES or len(source.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
            raise TemplateSyntaxError(f"over {MAX_SOURCE_BYTES} bytes")
        block, slots = Parser(source, FUNCTIONS).parse()
        return cls(block, slots)

    def render(self, data: Value, limits: Limits = DEFAULT_LIMITS) -> str:
        """What the template makes of ``data``, which ``set`` may change.

        Args:
            data: as ``gbe.templates.data.decode_json`` reads it.

        Raises:
            TemplateFailedError: it asks for what is not there, gives up, or makes too much.
            TemplateTimeoutError: it takes too many steps or too long.
        """
        return Interpreter(FUNCTIONS, self.slots, data, Budget(limits)).run(self.block)
