"""What a push service needs and must not read: VAPID (RFC 8292) and message encryption (RFC 8291, on RFC 8188)."""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gbe.errors import ConfigError

MAX_PAYLOAD: Final = 3993
"""Bytes of plain text that fit into the 4096 of a push message."""

_RECORD_SIZE: Final = 4096
_AUTH_BYTES: Final = 16
_POINT_BYTES: Final = 65
_SCALAR_BYTES: Final = 32
_TOKEN_LIFE: Final = 12 * 3600  # seconds; RFC 8292 allows a day
_CURVE: Final = ec.SECP256R1


def to_base64(raw: bytes) -> str:
    """Base64 for URLs without padding, as all of web push writes it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """Read it, padded or not, in either alphabet. Raises ``ValueError``."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_").encode("ascii")
    return urlsafe_b64decode(plain + b"=" * (-len(plain) % 4))


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(frozen=True, slots=True)
class Receiver:
    """The keys of one browser's subscription: its public key and the secret it shares with us."""

    key: ec.EllipticCurvePublicKey
    auth: bytes

    @classmethod
    def read(cls, p256dh: str, auth: str) -> "Receiver":
        """Read both from Base64. Raises ``ValueError`` for what no browser sends."""
        secret, point = from_base64(auth), from_base64(p256dh)
        if len(secret) != _AUTH_BYTES or len(point) != _POINT_BYTES:
            raise ValueError("a key of the wrong length")
        return cls(ec.EllipticCurvePublicKey.from_encoded_point(_CURVE(), point), secret)


def encrypt(
    payload: bytes,
    receiver: Receiver,
    *,
    salt: bytes | None = None,
    private: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body of a push message, ``Content-Encoding: aes128gcm``.

    Args:
        payload: at most ``MAX_PAYLOAD`` bytes.
        salt, private: random by default, and never used twice.

    Raises:
        ValueError: the payload is too long.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes; at most {MAX_PAYLOAD} fit")
    salt = os.urandom(16) if salt is None else salt
    private = private or ec.generate_private_key(_CURVE())
    ours, theirs = _point(private.public_key()), _point(receiver.key)
    shared = private.exchange(ec.ECDH(), receiver.key)
    material = _derived(shared, receiver.auth, b"WebPush: info\0" + theirs + ours, 32)
    key = _derived(material, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(material, salt, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(key).encrypt(nonce, payload + b"\x02", None)  # 2 ends the last record, the only one here
    return salt + _RECORD_SIZE.to_bytes(4) + bytes((len(ours),)) + ours + sealed


def _derived(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)


def _private_key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    if len(scalar) != _SCALAR_BYTES:
        raise ValueError("a key of the wrong length")
    return ec.derive_private_key(int.from_bytes(scalar), _CURVE())


class VapidKeys:
    """The identity of this deployment towards push services.

    Args:
        private: whose public part browsers subscribe with.
        email: whom a push service may write to.
    """

    def __init__(self, private: ec.EllipticCurvePrivateKey, email: str) -> None:
        self._private, self._email = private, email
        self.public = to_base64(_point(private.public_key()))

    @classmethod
    def read(cls, public: str, private: str, email: str) -> "VapidKeys":
        """Read a pair of keys as the configuration has it. Raises ``ConfigError``."""
        try:
            keys = cls(_private_key(from_base64(private)), email)
        except ValueError as exc:
            raise ConfigError("notify.web_push_private_key is no key; make a pair: gbe notify webpush keys") from exc
        if keys.public != public.rstrip("="):
            raise ConfigError("notify.web_push_public_key is not the one of web_push_private_key")
        return keys

    def authorization(self, endpoint: str, now: float) -> str:
        """The value of the header ``Authorization`` for a push to ``endpoint``; ``now`` in unix seconds."""
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(now) + _TOKEN_LIFE,
            "sub": f"mailto:{self._email}",
        }
        signed = b".".join(_json_base64(each) for each in ({"typ": "JWT", "alg": "ES256"}, claims))
        r, s = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        signature = to_base64(r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES))
        return f"vapid t={signed.decode()}.{signature}, k={self.public}"


def _json_base64(value: dict[str, object] | dict[str, str]) -> bytes:
    return to_base64(json.dumps(value, separators=(",", ":")).encode()).encode("ascii")


def generate_keys() -> tuple[str, str]:
    """A new pair: public and private, as the configuration takes them."""
    private = ec.generate_private_key(_CURVE())
    scalar = private.private_numbers().private_value.to_bytes(_SCALAR_BYTES)
    return to_base64(_point(private.public_key())), to_base64(scalar)
