"""What a merchant may make of its checkout page: only a colour, only a picture, only exact sites."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.branding import MAX_LOGO_BYTES, LogoType, parse_accent, read_logo
from openpay.domain.origins import MAX_EMBED_ORIGINS, parse_embed_origins, parse_origin
from openpay.errors import Invalid
from tests.support.pictures import picture

KINDS = {"PNG": LogoType.PNG, "JPEG": LogoType.JPEG, "WEBP": LogoType.WEBP}


def reason(content: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        read_logo(content)
    assert refused.value.code == "invalid_logo"
    return refused.value.detail


@pytest.mark.parametrize("text", ["red", "#fff", "#12345g", "0a7cff", "#0a7cff;", "#0a7cff\n", "", "#0a7cff00"])
def test_accent_is_six_hex_digits_and_nothing_else(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_accent(text)
    assert refused.value.code == "invalid_accent"
    assert parse_accent("#0A7cFF") == "#0a7cff"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (96, 96), (2048, 3)])
def test_logo_is_known_by_its_content(kind: str, size: tuple[int, int]) -> None:
    content = picture(kind, size)
    assert read_logo(content).type is KINDS[kind]
    assert read_logo(content).hash != read_logo(content + b"\0").hash


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, {"dpi": (300, 300)}]
)
def test_jpeg_with_other_segments_before_its_size_is_read(options: dict[str, object]) -> None:
    assert read_logo(picture("JPEG", (300, 20), **options)).type is LogoType.JPEG
    assert "2049 × 20" in reason(picture("JPEG", (2049, 20), quality=1, **options))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 5}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}])
def test_each_format_of_webp_tells_its_size(options: dict[str, object]) -> None:
    assert read_logo(picture("WEBP", (40, 30), **options)).type is LogoType.WEBP
    assert "17 × 2100" in reason(picture("WEBP", (17, 2100), **options))


def test_small_file_of_a_huge_picture_is_refused() -> None:
    content = picture("PNG", (9000, 10), optimize=True)
    assert len(content) < MAX_LOGO_BYTES
    assert "9000 × 10 pixels" in reason(content)


def test_logo_may_not_weigh_more_than_the_page_can_bear() -> None:
    content = picture("PNG")
    assert len(read_logo(content + bytes(MAX_LOGO_BYTES - len(content))).content) == MAX_LOGO_BYTES
    assert "11,264 bytes" in reason(content + bytes(MAX_LOGO_BYTES - len(content) + 1))


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b'<?xml version="1.0"?>\n<!DOCTYPE svg>\n<SVG onload="alert(1)"/>',
    ],
)
def test_svg_is_refused_and_told_why(content: bytes) -> None:
    assert "scripts" in reason(content)


def test_other_content_is_refused_whatever_the_file_is_called() -> None:
    assert "no PNG, JPEG or WebP" in reason(picture("GIF"))
    for content in (b"", b"<html>", b"\x89PNG", b"GIF89a", b"RIFF\0\0\0\0AVI "):
        assert "no PNG, JPEG or WebP" in reason(content)


@pytest.mark.parametrize("kind", KINDS)
def test_picture_cut_off_before_its_size_is_refused(kind: str) -> None:
    assert "damaged" in reason(picture(kind)[:13])


@given(tail=st.binary(max_size=200), kind=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]))
def test_junk_behind_a_pictures_first_bytes_is_read_or_refused_and_never_breaks(tail: bytes, kind: bytes) -> None:
    with suppress(Invalid):
        assert read_logo(kind + tail).content == kind + tail


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example:443", "https://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://shop.localhost", "http://shop.localhost"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_origin_is_written_as_browsers_send_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin
    assert parse_origin(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "https://*",
        "https://*.example",
        "https:",
        "https://",
        "shop.example",
        "//shop.example",
        "https://shop.example/",
        "https://shop.example/pay",
        "https://shop.example?a",
        "https://shop.example#a",
        "https://user@shop.example",
        "https://shop.example:",
        "https://shop.example:0x1",
        "https://shop.example:99999",
        "https://shop.example https://evil.example",
        "https://shop.example;script-src",
        "https://shop.example'",
        "https://shop..example",
        "https://-shop.example",
        "https://shop_1.example",
        "https://1.2.3",
        "https://[::1",
        "https://bücher.example",
        "http://shop.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://192.168.0.1",
        "ftp://shop.example",
        "javascript://shop.example",
        " https://shop.example",
        "https://shop.example\n",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_origin(text)
    assert refused.value.code == "invalid_origin"


@given(text=st.text(max_size=60) | st.text(max_size=30).map("https://shop.example{}".format))
def test_accepted_origin_can_stand_in_a_policy_header(text: str) -> None:
    try:
        origin = parse_origin(text)
    except Invalid:
        return
    assert origin.isascii()
    assert not set(origin) & set(" ;,'\"\r\n\t*?#@\\")
    assert origin.count("/") == 2


def test_origins_are_kept_once_and_not_too_many() -> None:
    assert parse_embed_origins(["https://b.example", "https://A.example", "https://b.example:443"]) == (
        "https://b.example",
        "https://a.example",
    )
    with pytest.raises(Invalid):
        parse_embed_origins([f"https://{n}.example" for n in range(MAX_EMBED_ORIGINS + 1)])
