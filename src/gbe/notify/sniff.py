"""What kind of file some bytes are, by how they begin (section 4.6)."""

import re
from typing import Final, NamedTuple

HEAD: Final = 1024
"""Bytes that are looked at."""


class FileType(NamedTuple):
    """A MIME type, and the extension for a name, with its dot."""

    type: str
    extension: str


TEXT: Final = FileType("text/plain; charset=utf-8", ".txt")
HTML: Final = FileType("text/html; charset=utf-8", ".html")
UNKNOWN: Final = FileType("application/octet-stream", ".bin")
ANDROID_PACKAGE: Final = FileType("application/vnd.android.package-archive", ".apk")

# where, what, which type; the signatures are those that file(1) and the WHATWG's MIME Sniffing Standard name
_SIGNATURES: Final[tuple[tuple[int, bytes, FileType], ...]] = (
    (0, b"\xff\xd8\xff", FileType("image/jpeg", ".jpg")),
    (0, b"\x89PNG\r\n\x1a\n", FileType("image/png", ".png")),
    (0, b"GIF87a", FileType("image/gif", ".gif")),
    (0, b"GIF89a", FileType("image/gif", ".gif")),
    (8, b"WEBP", FileType("image/webp", ".webp")),
    (0, b"BM", FileType("image/bmp", ".bmp")),
    (0, b"II*\0", FileType("image/tiff", ".tiff")),
    (0, b"MM\0*", FileType("image/tiff", ".tiff")),
    (0, b"\0\0\1\0", FileType("image/x-icon", ".ico")),
    (4, b"ftypavif", FileType("image/avif", ".avif")),
    (4, b"ftypheic", FileType("image/heic", ".heic")),
    (4, b"ftypqt  ", FileType("video/quicktime", ".mov")),
    (4, b"ftypM4A", FileType("audio/x-m4a", ".m4a")),
    (4, b"ftyp", FileType("video/mp4", ".mp4")),
    (8, b"AVI ", FileType("video/x-msvideo", ".avi")),
    (8, b"WAVE", FileType("audio/wav", ".wav")),
    (0, b"\x1aE\xdf\xa3", FileType("video/webm", ".webm")),
    (0, b"OggS", FileType("audio/ogg", ".ogg")),
    (0, b"fLaC", FileType("audio/flac", ".flac")),
    (0, b"ID3", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xfb", FileType("audio/mpeg", ".mp3")),
    (0, b"\xff\xf3", FileType("audio/mpeg", ".mp3")),
    (0, b"%PDF-", FileType("application/pdf", ".pdf")),
    (0, b"PK\3\4", FileType("application/zip", ".zip")),
    (0, b"PK\5\6", FileType("application/zip", ".zip")),
    (0, b"\x1f\x8b", FileType("application/gzip", ".gz")),
    (0, b"BZh", FileType("application/x-bzip2", ".bz2")),
    (0, b"\xfd7zXZ\0", FileType("application/x-xz", ".xz")),
    (0, b"7z\xbc\xaf'\x1c", FileType("application/x-7z-compressed", ".7z")),
    (0, b"(\xb5/\xfd", FileType("application/zstd", ".zst")),
    (0, b"Rar!\x1a\7", FileType("application/x-rar-compressed", ".rar")),
    (257, b"ustar", FileType("application/x-tar", ".tar")),
    (0, b"\x7fELF", FileType("application/x-elf", ".elf")),
    (0, b"SQLite format 3\0", FileType("application/vnd.sqlite3", ".sqlite")),
    (0, b"wOF2", FileType("font/woff2", ".woff2")),
)
_CONTAINERS: Final = {8: b"RIFF"}  # what stands in front of a signature at that place

_MARKUP: Final = re.compile(
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|style|title|body|br|p|a|svg)"
    rb"(?=[\s>/])",
    re.IGNORECASE,
)
_ACTIVE: Final = re.compile(rb"<(?:\?xml|[a-z]+:?html)", re.IGNORECASE)
# what no text has: control characters other than white space and escape (WHATWG MIME Sniffing, section 3)
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def sniff(head: bytes, name: str = "") -> FileType:
    """The type of a file that begins with ``head``; takes time linear in its first ``HEAD`` bytes.

    Args:
        name: an Android package is a ZIP archive, known by its name.
    """
    head = head[:HEAD]
    for place, signature, found in _SIGNATURES:
        if head.startswith(signature, place) and head.startswith(_CONTAINERS.get(place, b"")):
            if found.extension == ".zip" and name.lower().endswith(ANDROID_PACKAGE.extension):
                return ANDROID_PACKAGE
            return found
    if not _is_text(head):
        return UNKNOWN
    visible = _without_comments(head)
    if _MARKUP.match(visible) or _ACTIVE.match(visible):
        return HTML
    return TEXT


def served_type(kind: str) -> str:
    """What a browser is told: never anything that it would run."""
    essence = kind.partition(";")[0].strip().lower()
    if essence.startswith(("text/", "application/xml", "application/xhtml", "application/javascript", "image/svg")):
        return TEXT.type
    return kind


def _without_comments(head: bytes) -> bytes:
    """What follows blanks and comments of markup."""
    place = 0
    while True:
        rest = head[place:].lstrip()
        if not rest.startswith(b"<!--"):
            return rest
        end = rest.find(b"-->", len(b"<!--"))
        if end < 0:
            return b""
        place = len(head) - len(rest) + end + len(b"-->")


def _is_text(head: bytes) -> bool:
    if _BINARY.search(head):
        return False
    for cut in range(4):  # a character may go on behind the part that we see
        try:
            head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            if len(head) < HEAD:
                return False
        else:
            return True
    return False
