"""What the page loads besides itself: kept for ever, compressed, and harmless when opened by itself."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

import checkout_web
from checkout_web.content.view import Part
from checkout_web.drawing.accent import theme
from checkout_web.drawing.assets import load_assets
from checkout_web.edge.compression import accepts_gzip
from openpay.app.merchants import change_page
from tests.checkout_web.scenes import ORDER, Shop
from tests.support.pictures import picture

STATIC = Path(checkout_web.__file__).parent / "static"


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[TestClient]:
    # Not decompressed: these tests look at what goes over the wire.
    async with TestClient(TestServer(shop.application()), auto_decompress=False) as started:
        yield started


async def branded(shop: Shop) -> bytes:
    logo = picture("PNG")
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, accent="#ffcc00", logo=logo)
    return logo


async def document(client: TestClient, shop: Shop) -> str:
    payment = await shop.create()
    response = await client.get(f"/checkout/{payment.id}", headers={"Accept-Encoding": "identity"})
    return await response.text()


def linked(html: str, pattern: str) -> list[str]:
    return re.findall(rf'(?:href|src)="(/checkout/{pattern})"', html)


def cache_of(response: ClientResponse) -> str:
    return response.headers["Cache-Control"]


async def test_static_files_are_sent_compressed_where_that_is_understood(client: TestClient, shop: Shop) -> None:
    (sheet,) = linked(await document(client, shop), "static/[0-9a-f]{12}/checkout.css")
    plain = await client.get(sheet, headers={"Accept-Encoding": "identity"})
    packed = await client.get(sheet, headers={"Accept-Encoding": "br, gzip"})
    assert await plain.read() == gzip.decompress(await packed.read()) == load_assets(STATIC).files["checkout.css"].body
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    for response in (plain, packed):
        assert "immutable" in cache_of(response)
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["Content-Type"] == "text/css; charset=utf-8"


def test_comments_and_indents_stay_at_home_and_nothing_else_is_lost(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text(
        '// says why\nconst url = "https://a.example"; // kept\n  // also why\n\n  go(url);\n'
    )
    (tmp_path / "a.css").write_text("/* why\n and how */\na {\n  color: red; } /* b */\n")
    files = load_assets(tmp_path).files
    assert files["a.js"].body == b'const url = "https://a.example"; // kept\ngo(url);\n'
    assert files["a.css"].body == b"a {\ncolor: red; } "


def test_no_text_of_several_lines_in_a_script_looks_like_a_comment_or_needs_its_indents() -> None:
    for path in STATIC.glob("*.js"):
        for text in re.findall(r"`[^`]*`", path.read_text()):
            assert not re.search(r"^\s*//", text, re.MULTILINE), path.name
            assert "\n" not in text or "box-sizing" in text, path.name  # a stylesheet


async def test_document_and_state_are_sent_compressed(client: TestClient, shop: Shop) -> None:
    payment = await shop.create()
    for path in (f"/checkout/{payment.id}", f"/checkout/{payment.id}/state"):
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        packed = await client.get(path, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == plain.headers["Vary"]
        assert "Accept-Encoding" in packed.headers["Vary"].split(", ")
        assert gzip.decompress(await packed.read()) == await plain.read()


async def test_state_known_from_a_compressed_answer_is_not_sent_again(client: TestClient, shop: Shop) -> None:
    payment = await shop.create()
    path = f"/checkout/{payment.id}/state"
    first = await client.get(path, headers={"Accept-Encoding": "gzip"})
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        again = await client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": known})
        assert again.status == 304
    await shop.pay(payment)
    assert (await client.get(path, headers={"If-None-Match": tag})).status == 200


async def test_event_stream_is_never_compressed(client: TestClient, shop: Shop) -> None:
    payment = await shop.create()
    stream = await client.get(f"/checkout/{payment.id}/events", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in stream.headers
    assert (await stream.content.readline()).startswith((b"id:", b"event:"))
    stream.close()


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP", True),
        ("*", True),
        ("gzip;q=0.5", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=junk", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_sent_to_those_who_ask_for_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_merchants_colour_is_a_stylesheet_of_its_own_and_kept_for_ever(client: TestClient, shop: Shop) -> None:
    await branded(shop)
    (sheet,) = linked(await document(client, shop), "theme/[0-9a-f]{12}/ffcc00.css")
    response = await client.get(sheet)
    assert (await response.text(), response.status) == (theme("#ffcc00").css, 200)
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in cache_of(response)
    # A page from before an update that changed the rule gets today's colours, and does not keep them.
    old = await client.get("/checkout/theme/000000000000/ffcc00.css")
    assert (old.status, cache_of(old)) == (200, "no-cache")


@pytest.mark.parametrize("wrong", ["red", "ffcc0g", "ffcc", "ffcc00%7D", "FFCC00;"])
async def test_stylesheet_of_what_is_no_colour_does_not_exist(client: TestClient, wrong: str) -> None:
    assert (await client.get(f"/checkout/theme/000000000000/{wrong}.css")).status == 404


async def test_page_without_a_colour_or_logo_asks_for_neither(client: TestClient, shop: Shop) -> None:
    html = await document(client, shop)
    assert linked(html, "theme/.*?") == linked(html, "logo/.*?") == []


async def test_logo_is_served_from_here_kept_for_ever_and_can_do_nothing(client: TestClient, shop: Shop) -> None:
    logo = await branded(shop)
    (address,) = linked(await document(client, shop), "logo/[0-9a-f]{16}")
    response = await client.get(address)
    assert await response.read() == logo
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox;")
    assert "immutable" in cache_of(response)


async def test_logo_that_nobody_has_or_that_was_taken_back_is_not_found(client: TestClient, shop: Shop) -> None:
    await branded(shop)
    (address,) = linked(await document(client, shop), "logo/[0-9a-f]{16}")
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, logo=None)
    for path in (address, "/checkout/logo/0123456789abcdef", "/checkout/logo/..%2F..%2Fetc"):
        assert (await client.get(path)).status == 404


async def test_modules_are_named_in_the_document_so_that_they_load_at_once(client: TestClient, shop: Shop) -> None:
    html = await document(client, shop)
    named = set(re.findall(r'<link rel="modulepreload" href="[^"]*/([a-z_]+\.js)">', html))
    assets = load_assets(STATIC)
    assert named == set(assets.modules("checkout.js")) - {"checkout.js"}
    assert {"feed.js", "state.js", "announce.js"} <= named


def test_modules_asked_for_later_are_not_loaded_with_the_page(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text(
        'import { b } from "./b.js";\nimport {\n  c,\n  d,\n} from "./c.js";\nimport "./e.js";\n'
        'const later = () => import("./later.js");\n// import { x } from "./x.js";\n'
    )
    for name in ("b", "c", "e", "later"):
        (tmp_path / f"{name}.js").write_text('import "./f.js";\n' if name == "c" else "")
    (tmp_path / "f.js").write_text('import { a } from "./a.js";\n')
    assert load_assets(tmp_path).modules("a.js") == ("a.js", "b.js", "c.js", "e.js", "f.js")


async def test_message_page_keeps_the_pages_own_look(client: TestClient, shop: Shop) -> None:
    response = await client.get(f"/checkout/{'x' * 20}", headers={"Accept": "text/html", "Accept-Encoding": "identity"})
    assert response.status == 404
    assert linked(await response.text(), "static/[0-9a-f]{12}/checkout.css")


async def test_colour_and_logo_are_on_the_page_in_every_state(client: TestClient, shop: Shop) -> None:
    await branded(shop)
    shop.merchant = replace(shop.merchant, accent="#ffcc00")
    payment = await shop.scene(Part.PAID, **ORDER)
    html = await (await client.get(f"/checkout/{payment.id}", headers={"Accept-Encoding": "identity"})).text()
    assert linked(html, "theme/[0-9a-f]{12}/ffcc00.css")
    assert linked(html, "logo/[0-9a-f]{16}")
