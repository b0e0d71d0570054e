"""The pure parts of web push: encryption against RFC 8291's example, keys, and which endpoints are known."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import ConfigError
from gbe.notify.config import NotifyConfig
from gbe.notify.webpush.encryption import (
    MAX_PAYLOAD,
    Receiver,
    VapidKeys,
    encrypt,
    from_base64,
    generate_keys,
    to_base64,
)
from gbe.notify.webpush.endpoints import VENDORS, is_known_endpoint


def test_encryption_is_that_of_rfc_8291() -> None:
    """The example of its appendix A, byte for byte."""
    scalar = from_base64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    receiver = Receiver.read(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
    )
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        receiver,
        salt=from_base64("DGv6ra1nlYgDCS1FRnbzlw"),
        private=ec.derive_private_key(int.from_bytes(scalar), ec.SECP256R1()),
    )
    assert to_base64(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert len(encrypt(b"x" * MAX_PAYLOAD, receiver)) == 4096
    with pytest.raises(ValueError, match="at most"):
        encrypt(b"x" * (MAX_PAYLOAD + 1), receiver)


def test_a_pair_of_keys_belongs_together() -> None:
    """What ``gbe notify webpush keys`` prints is accepted, anything else is refused with what to do."""
    public, private = generate_keys()
    assert VapidKeys.read(public, private, "a@b.net").public == public
    for wrong in ((public, generate_keys()[1]), (public, "x"), (public, "A" * 43), ("", private), (public, "\u00e9")):
        with pytest.raises(ConfigError, match="web_push"):
            VapidKeys.read(*wrong, "a@b.net")


@pytest.mark.parametrize(
    "changes",
    [
        {"web_push_private_key": ""},
        {"web_push_email_address": "nobody"},
        {"base_url": ""},
        {"web_push_hosts": ("Evil host",)},
        {"web_push_expiry_warning_duration": 1e9},
    ],
)
def test_a_configuration_without_sense_is_refused(changes: dict[str, object]) -> None:
    """At the start, not at the first message."""
    public, private = generate_keys()
    whole: dict[str, object] = {
        "base_url": "https://push.example.net",
        "web_push_public_key": public,
        "web_push_private_key": private,
        "web_push_email_address": "ops@example.net",
    }
    NotifyConfig(**whole)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"notify\."):
        NotifyConfig(**{**whole, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/x",
        "https://wns2-by3p.notify.windows.com/w/?token=x",
        "https://web.push.apple.com/x",
        "https://WEB.push.apple.com:443/x",
    ],
)
def test_vendors_are_known(endpoint: str) -> None:
    """Google, Mozilla, Microsoft and Apple."""
    assert is_known_endpoint(endpoint, VENDORS)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/x.google.com/",
        "https://evil.example/https://fcm.googleapis.com/",
        "https://fcm.googleapis.com.evil.example/",
        "https://evilfcm.googleapis.com/",
        "https://fcm.googleapis.com@evil.example/",
        "https://evil.example#fcm.googleapis.com/",
        "https://evil.example?fcm.googleapis.com",
        "https://evil.example\\fcm.googleapis.com/",
        "https://evil.example\\.fcm.googleapis.com/",
        "http://fcm.googleapis.com/",
        "ftp://fcm.googleapis.com/",
        "https://fcm.googleapis.com:8443/",
        "https://user:pw@fcm.googleapis.com/",
        "https://fcm.googleapis.com/a b",
        "https://fcm.googleapis.com/\r\nX: y",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[::1",
        "https://fcm.googleapis.com:99999/",
        "https://fcm.googleapis.com/" + "x" * 2000,
        "https:///fcm.googleapis.com/",
        "//fcm.googleapis.com/",
        "https://fcm\u3002googleapis.com/",
        "",
    ],
)
def test_others_are_not(endpoint: str) -> None:
    """Whatever is written around the name of a vendor (CVE-2026-39087)."""
    assert not is_known_endpoint(endpoint, VENDORS)


@given(st.text(max_size=60), st.sampled_from(VENDORS), st.text(alphabet="/@#?.:\\ a1", max_size=10))
def test_no_text_raises(before: str, vendor: str, after: str) -> None:
    """Any text is an answer."""
    is_known_endpoint(f"https://{before}{vendor}{after}", VENDORS)
    is_known_endpoint(before, VENDORS)
