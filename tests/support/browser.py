"""A real browser for page tests: the machine's Chromium, driven by Playwright."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from tests.support.process import find_executable

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
ON_A_PHONE: dict[str, Any] = {"has_touch": True, "is_mobile": True}
"""What makes a browser's context a phone's besides its size: touched by a finger, pages show links to wallet apps."""

# Five seconds, Playwright's own measure, are little for a machine that runs other tests as well.
expect.set_options(timeout=30_000)

CAMERA_PATIENCE_S = 30
"""A code in a frame that has just opened takes a moment to be drawn."""

_PROGRAMS = Path("/usr/bin")

# --no-sandbox: Chromium refuses to run as root with it. The others keep it from calling home.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def open_browser(*, whole: bool = False) -> AsyncIterator[Browser]:
    """A started Chromium; one ``browser.new_context()`` for each visitor keeps their storage apart.

    Unless it is to be `whole` (all of them are with OPENPAY_TESTS_WHOLE_BROWSER set), without windows, tabs and menus
    where the machine has it so: the same engine for half the work, since Chromium draws them for every visitor even if
    nobody sees them.
    """
    whole = whole or bool(os.environ.get("OPENPAY_TESTS_WHOLE_BROWSER"))
    executable = (not whole and find_executable("chromium-headless-shell", _PROGRAMS)) or find_executable(
        "chromium", _PROGRAMS
    )
    if executable is None:
        raise FileNotFoundError("Chromium is needed and was not found: run scripts/setup, or install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def scan(page: Page) -> str:
    """What a wallet's camera reads from the page, looked at until there is something to read: the text of the one QR
    code on it. Raises `TimeoutError`."""
    async with asyncio.timeout(CAMERA_PATIENCE_S):
        while True:
            # Of the page and not of the code's element, which a live page may just be replacing by an equal one.
            picture = Image.open(io.BytesIO(await page.screenshot(full_page=True)))
            # Of other kinds of codes the reader sometimes believes to see one in the same pattern.
            codes = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
            if codes:
                (code,) = codes
                return str(code.text)
            await asyncio.sleep(0.1)
