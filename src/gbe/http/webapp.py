"""Settings for the web app, and the version (section 6.1)."""

import hashlib
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

import gbe
from gbe.http.account_call import Call, Route
from gbe.http.asgi import Headers, json_body
from gbe.http.services import Services
from gbe.notify.errors import Refusal

_SCRIPT: Final[Headers] = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
]
_MANIFEST: Final[Headers] = [
    (b"content-type", b"application/manifest+json"),
    (b"x-content-type-options", b"nosniff"),
]
_COLOUR: Final = "#1f6f5c"
_ICON: Final = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    f'<rect width="64" height="64" rx="14" fill="{_COLOUR}"/>'
    '<path d="M16 18h32v22H30l-10 9v-9h-4z" fill="#fff"/></svg>'
)
"""In the manifest itself, as there is no page that would serve a picture."""


def webapp_endpoints(services: Services) -> Iterable[Route]:
    """For everybody, but for the version, which is for administrators."""
    settings = json_body(webapp_settings(services))
    manifest = json_body(webapp_manifest(services.notify.app_root))

    async def as_json(_call: Call) -> bytes:
        return settings

    async def as_script(_call: Call) -> bytes:
        if not services.notify.app_root:
            raise Refusal.NOT_FOUND.error()
        return b"// made by the server\nvar config = " + settings.rstrip() + b";\n"

    async def version(call: Call) -> bytes:
        if services.access is None:
            raise Refusal.NOT_FOUND.error()
        call.administrator()
        return json_body({"version": gbe.__version__, "commit": "", "date": ""})

    async def as_manifest(_call: Call) -> bytes:
        if services.push_subscriptions is None or not services.notify.app_root:
            raise Refusal.NOT_FOUND.error()
        return manifest

    return (
        Route("GET", "/v1/config", as_json),
        Route("GET", "/manifest.webmanifest", as_manifest, _MANIFEST),
        Route("GET", "/config.js", as_script, _SCRIPT),
        Route("GET", "/v1/version", version),
    )


def webapp_manifest(root: str) -> dict[str, object]:
    """What a browser needs to know to install the web app (W3C, Web Application Manifest)."""
    return {
        "name": "gbe notifications",
        "description": "Push notifications from your own server, for ntfy clients",
        "short_name": "gbe",
        "scope": "/",
        "start_url": root or "/",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": _COLOUR,
        "icons": [{"src": _ICON, "sizes": "any", "type": "image/svg+xml"}],
    }


def webapp_settings(services: Services) -> dict[str, object]:
    """The settings object: nothing in it is secret, nor made from anything that is."""
    config = None if services.access is None else services.access.config
    settings: dict[str, object] = {
        "base_url": "",  # the same origin
        "app_root": services.notify.app_root or "/",
        "enable_login": config is not None and config.enable_login,
        "require_login": config is not None and config.require_login,
        "enable_signup": config is not None and config.enable_signup,
        "enable_payments": False,
        "enable_calls": False,
        "enable_emails": bool(services.notify.smtp_sender_addr),
        "enable_reset_password": config is not None and bool(services.notify.smtp_sender_addr),
        "enable_reservations": config is not None and config.enable_reservations,
        "enable_web_push": services.push_subscriptions is not None,
        "billing_contact": "",
        "web_push_public_key": services.notify.web_push_public_key,
        "disallowed_topics": list(services.notify.disallowed_topics),
    }
    return {**settings, "config_hash": hashlib.sha256(json_body(settings)).hexdigest()[:16]}
