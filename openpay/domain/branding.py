"""What a merchant's checkout page may look like: an accent colour, and a logo that is certainly a picture."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from openpay.errors import Invalid

MAX_LOGO_BYTES = 11 * 1024
"""The logo is part of every first view of the page, which is to stay within 60 kB."""
MAX_LOGO_SIDE = 2048
"""Pixels. A small file can unpack into a picture that a phone has no memory for."""

_ACCENT = re.compile(r"#[0-9a-fA-F]{6}")

_PNG_START = b"\x89PNG\r\n\x1a\n"


class LogoType(StrEnum):
    """Media types a logo may have: those every browser shows, and none that can hold a script."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    WEBP = "image/webp"


@dataclass(frozen=True, kw_only=True)
class Logo:
    """A picture as it was given, its type by its own first bytes."""

    content: bytes
    type: LogoType

    @property
    def hash(self) -> str:
        """16 hex digits over the content: part of the logo's address, which therefore never changes its meaning."""
        return hashlib.sha256(self.content).hexdigest()[:16]


def parse_accent(text: str) -> str:
    """`#RRGGBB` in lower case. Raises `Invalid` (`invalid_accent`)."""
    if not _ACCENT.fullmatch(text):
        raise Invalid(
            f"{text[:20]!r} is not a colour: write # and six hex digits, such as #0a7cff",
            code="invalid_accent",
            param="accent",
        )
    return text.lower()


def read_logo(content: bytes) -> Logo:
    """Recognise a PNG, JPEG or WebP picture by its content, whatever its file is called.

    Raises `Invalid` (`invalid_logo`) for any other content, for more than `MAX_LOGO_BYTES`, and for a side of no or
    more than `MAX_LOGO_SIDE` pixels. SVG is refused: it is a document that may hold scripts and load other files.
    """
    if len(content) > MAX_LOGO_BYTES:
        raise _no_logo(f"it has more than {MAX_LOGO_BYTES:,} bytes, and every customer loads it")
    kind = _type_of(content)
    if kind is None:
        if b"<svg" in content[:1024].lower():
            raise _no_logo("SVG can hold scripts and load other files, so it is not accepted: export it as PNG")
        raise _no_logo("it is no PNG, JPEG or WebP picture by its content")
    size = _size_of(content, kind)
    if size is None:
        raise _no_logo("its width and height cannot be read: the file is damaged or cut short")
    width, height = size
    if not (1 <= width <= MAX_LOGO_SIDE and 1 <= height <= MAX_LOGO_SIDE):
        raise _no_logo(f"it is {width} × {height} pixels; each side may have 1 to {MAX_LOGO_SIDE}")
    return Logo(content=content, type=kind)


def _no_logo(reason: str) -> Invalid:
    return Invalid(f"this cannot be the logo: {reason}", code="invalid_logo", param="logo")


def _type_of(content: bytes) -> LogoType | None:
    if content.startswith(_PNG_START):
        return LogoType.PNG
    if content.startswith(b"\xff\xd8\xff"):
        return LogoType.JPEG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return LogoType.WEBP
    return None


def _size_of(content: bytes, kind: LogoType) -> tuple[int, int] | None:
    """Width and height in pixels by the file's own headers, or None where they are missing."""
    match kind:
        case LogoType.PNG:
            if content[12:16] != b"IHDR" or len(content) < 24:
                return None
            return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
        case LogoType.JPEG:
            return _jpeg_size(content)
        case LogoType.WEBP:
            return _webp_size(content)


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walk the segments to the first frame header (ITU-T T.81, B.2.2); the thumbnail in an EXIF segment is skipped."""
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """The first chunk's own size fields (RFC 9649): lossy, lossless, or the canvas of the extended format."""
    chunk, body = content[12:16], content[20:30]
    if len(body) < 10:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None
