"""Names of objects: segments of ``[A-Za-z0-9_.=-]`` with slashes between, at most 512 bytes.

No segment begins with a dot: so no name can climb out of a folder, nor be a file that other programs treat apart.
"""

import re
from typing import Final

from gbe.errors import InvalidObjectNameError

MAX_NAME_BYTES: Final = 512
MAX_SEGMENT_BYTES: Final = 200  # file systems take 255, and a file that is being written has a longer name

_NAME: Final = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]*(?:/[A-Za-z0-9_=-][A-Za-z0-9_.=-]*)*\Z")


def check_name(name: str) -> str:
    """Return ``name`` if it can name an object, or a prefix of whole segments.

    Raises:
        InvalidObjectNameError: too long, empty, or a character outside the rules.
    """
    if len(name) > MAX_NAME_BYTES:
        raise InvalidObjectNameError(name, f"{len(name)} bytes is over the limit of {MAX_NAME_BYTES}")
    if _NAME.match(name) is None:
        raise InvalidObjectNameError(name, "expected segments of A-Z a-z 0-9 _ . = - with slashes, no dot first")
    if max(map(len, name.split("/"))) > MAX_SEGMENT_BYTES:
        raise InvalidObjectNameError(name, f"a segment is over the limit of {MAX_SEGMENT_BYTES} bytes")
    return name
