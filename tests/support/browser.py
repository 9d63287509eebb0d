"""A real browser for page tests: the machine's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.support.process import find_executable

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
async def open_browser() -> AsyncIterator[Browser]:
    """A started Chromium; one ``browser.new_context()`` for each visitor keeps their storage apart."""
    executable = find_executable("chromium", Path("/usr/bin"))
    if executable is None:
        raise FileNotFoundError("Chromium is needed and was not found: run scripts/setup, or install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
