"""The frame of the small HTML pages: no script, nothing from elsewhere."""

import html
from typing import Final

_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 4rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }}
input, button {{ font: inherit; padding: .4rem .8rem; }}
pre {{ background: color-mix(in srgb, CanvasText 8%, Canvas); padding: .8rem 1rem; border-radius: .5rem;
      overflow-x: auto; }}
</style>
</head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""


def page(title: str, content: str) -> str:
    """A page with ``content`` (HTML, as it is) below its ``title`` (text, escaped here)."""
    return _FRAME.format(title=html.escape(title), content=content)
