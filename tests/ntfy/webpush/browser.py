"""A browser and the push service of its vendor, for real: keys, TLS, decryption as RFC 8291 describes the receiver."""

import asyncio
import json
import os
import ssl
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Self

import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.ntfy.server import Loop


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hkdf(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)


class Browser:
    """One subscription's secrets."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._auth = os.urandom(16)
        self.auth, self.p256dh = encoded(self._auth), encoded(self._public)

    def decrypt(self, body: bytes) -> dict[str, Any]:
        """What the server said; fails if it was not meant for us."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(body) <= size == 4096
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        shared = self._private.exchange(ec.ECDH(), key)
        material = _hkdf(self._auth, shared, b"WebPush: info\0" + self._public + sender, 32)
        opened = AESGCM(_hkdf(salt, material, b"Content-Encoding: aes128gcm\0", 16)).decrypt(
            _hkdf(salt, material, b"Content-Encoding: nonce\0", 12), sealed, None
        )
        text, delimiter = opened.rstrip(b"\0")[:-1], opened.rstrip(b"\0")[-1]
        assert delimiter == 2
        message: dict[str, Any] = json.loads(text)
        return message


def verify_vapid(header: str, public: str, audience: str) -> dict[str, Any]:
    """The claims of a VAPID header, whose signature is ours and whose audience is right."""
    scheme, _, rest = header.partition(" ")
    values = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert (scheme, values["k"]) == ("vapid", public)
    signed, _, signature = values["t"].rpartition(".")
    raw = decoded(signature)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(public))
    key.verify(
        encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])), signed.encode(), ec.ECDSA(SHA256())
    )
    head, claims = (json.loads(decoded(part)) for part in signed.split("."))
    assert (head["alg"], claims["aud"]) == ("ES256", audience)
    found: dict[str, Any] = claims
    return found


@dataclass
class PushService:
    """Listens on this machine with TLS, and keeps what it is given by path."""

    loop: Loop
    pushes: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)

        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)

        self._server = self.loop.call(start())
        self.host = f"localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()

        self.loop.call(stop())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                path = head[0].split(" ")[1]
                headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers["content-length"]))
                waiting = self.statuses.get(path)
                status = waiting.pop(0) if waiting else 201
                self.pushes.append((path, headers, body))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def of(self, path: str) -> list[bytes]:
        """The bodies of the pushes to a path."""
        return [body for where, _, body in self.pushes if where == path]
