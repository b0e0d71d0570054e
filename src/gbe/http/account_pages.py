"""The pages that mailed links open: a form each, without scripts. What it says goes to the API's routes for forms."""

import re
from typing import Final

from gbe.http.asgi import Headers
from gbe.http.page import page
from gbe.notify.access.names import MAX_PASSWORD_BYTES
from gbe.notify.errors import Refusal

HTML: Final[Headers] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
_SECRET: Final = re.compile(r"[a-z0-9]{16,64}")
_VERIFY: Final = """<p>This lets the server send messages to this address.</p>
<form method="post" action="/v1/account/email/verify/form">
<input type="hidden" name="token" value="{secret}">
<button>Verify</button>
</form>"""
_RESET: Final = """<form method="post" action="/v1/account/password/reset/form">
<input type="hidden" name="token" value="{secret}">
<p><label>New password, at most {most} bytes<br>
<input type="password" name="new_password" autocomplete="new-password" required></label></p>
<button>Change the password</button>
</form>"""


def check_secret(text: str, refusal: Refusal) -> str:
    """Return ``text`` if it can be the secret of a link, so that it can stand in a page. Raises ``NotifyError``."""
    if _SECRET.fullmatch(text) is None:
        raise refusal.error()
    return text


def verify_page(secret: str) -> bytes:
    """Asks whether the address is to be verified."""
    return page("Verify your e-mail address", _VERIFY.format(secret=secret)).encode()


def reset_page(secret: str) -> bytes:
    """Asks for the new password."""
    content = _RESET.format(secret=secret, most=MAX_PASSWORD_BYTES)
    return page("Choose a new password", content).encode()


def done_page(text: str) -> bytes:
    """Says in ``text`` that it was done."""
    return page(text, "<p>You can close this page.</p>").encode()
