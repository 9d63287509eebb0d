"""The page zoomed in, spaced out, touched with a finger, without motion, in colours forced on it."""

from __future__ import annotations

import io

from PIL import Image
from playwright.async_api import Page, ViewportSize

from openpay.domain.address import to_checksum
from tests.checkout_web.watching import REFLOW, Gallery, unfold
from tests.support.browser import DESKTOP, PHONE, scan

HALF_DESKTOP = ViewportSize(width=640, height=450)
"""What is left of a desktop's window at 200 % zoom (WCAG 1.4.4)."""
TARGET_PX = 24
"""The smallest side of anything to be touched (WCAG 2.5.8)."""

MISFITS = """() => {
  const room = document.documentElement.clientWidth;
  const found = [];
  if (document.documentElement.scrollWidth > room) found.push("the page scrolls sideways");
  for (const element of document.body.querySelectorAll("*:not(svg *)")) {
    if (!element.checkVisibility() || element.closest(".visually-hidden, .skip")) continue;
    const name = `${element.tagName} ${element.id || element.className} ${element.textContent.trim().slice(0, 40)}`;
    const box = element.getBoundingClientRect();
    if (box.left < -1 || box.right > room + 1) found.push(`outside: ${name}`);
    const cuts = !["visible", "auto", "scroll"].includes(getComputedStyle(element).overflowX);
    const isCut = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    if (cuts && isCut && element.textContent.trim() && !element.matches("select")) found.push(`cut off: ${name}`);
  }
  return found;
}"""

# Set by script, not by a style element: the page's policy allows none, and customers' own tools are above it.
SPACING = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; }"
    + "* { word-spacing: .16em !important; }"
    + "p { margin-block-end: 2em !important; }");
  document.adoptedStyleSheets = [sheet];
}"""

SMALL_TARGETS = """(least) => {
  const isInSentence = (element) => getComputedStyle(element).display === "inline"
    && element.parentElement.textContent.trim() !== element.textContent.trim();
  return [...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select")]
    .filter((element) => element.checkVisibility() && !element.closest(".skip") && !isInSentence(element))
    .map((element) => [element.textContent.trim() || element.id, element.getBoundingClientRect()])
    .filter(([, box]) => box.width < least || box.height < least)
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`);
}"""

LINES = """(element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return new Set([...range.getClientRects()].map((box) => box.top)).size;
}"""

MOTION = """() => {
  const found = [];
  const walk = (rules, media) => {
    for (const rule of rules) {
      const calm = media || (rule instanceof CSSMediaRule
        && rule.conditionText.includes("prefers-reduced-motion: no-preference"));
      const style = rule.style;
      const moves = style && ["transition-duration", "animation-name", "scroll-behavior"].some((name) => {
        const value = style.getPropertyValue(name);
        return value && !["0s", "none", "auto"].includes(value);
      });
      if (moves && !calm) found.push(rule.cssText);
      if (rule.cssRules) walk(rule.cssRules, calm);
    }
  };
  for (const sheet of document.styleSheets) walk(sheet.cssRules, false);
  return found;
}"""


async def test_every_state_fits_zoomed_in_and_with_text_spaced_out(gallery: Gallery) -> None:
    """200 % and 400 % zoom, a phone, and the reader's own spacing (WCAG 1.4.4, 1.4.10, 1.4.12); targets stay 24 px."""
    wrong: dict[str, list[str]] = {}
    async with gallery.page(PHONE, has_touch=True) as page:
        for exhibit in gallery.exhibits:
            await page.set_viewport_size(PHONE)
            await gallery.show(page, exhibit)
            wrong[f"{exhibit.name} targets"] = await _small_targets(page)
            for size in (PHONE, HALF_DESKTOP, REFLOW):
                await page.set_viewport_size(size)
                wrong[f"{exhibit.name} at {size['width']}"] = await page.evaluate(MISFITS)
            await page.evaluate(SPACING)
            for size in (REFLOW, PHONE, DESKTOP):
                await page.set_viewport_size(size)
                wrong[f"{exhibit.name} spaced out at {size['width']}"] = await page.evaluate(MISFITS)
            await page.set_viewport_size(DESKTOP)
            wrong[f"{exhibit.name} targets on a desktop"] = await _small_targets(page)
    assert {name: found for name, found in wrong.items() if found} == {}


async def _small_targets(page: Page) -> list[str]:
    await unfold(page)
    found: list[str] = await page.evaluate(SMALL_TARGETS, TARGET_PX)
    return found


async def test_nothing_moves_for_those_who_asked_for_stillness(gallery: Gallery) -> None:
    async with gallery.page(reduced_motion="reduce") as page:
        for name in ("waiting", "confirming", "paid"):
            await gallery.show(page, gallery[name])
            assert await page.evaluate(MOTION) == []
            await page.evaluate("document.querySelectorAll('progress').forEach((bar) => (bar.value += 1))")
            assert await page.evaluate("document.getAnimations().length") == 0


async def test_forced_colours_leave_the_qr_code_readable(gallery: Gallery) -> None:
    exhibit = gallery["waiting_address"]
    async with gallery.page(forced_colors="active", color_scheme="dark") as page:
        await gallery.show(page, exhibit)
        assert await scan(page) == to_checksum(exhibit.payment.address)


async def test_forced_colours_leave_selection_progress_and_buttons_to_be_seen(gallery: Gallery) -> None:
    async with gallery.page(forced_colors="active", color_scheme="dark") as page:
        await gallery.show(page, gallery["waiting"])
        for group in (".choices", ".switch"):
            chosen, other = (f"{group} a[aria-current]", f"{group} a:not([aria-current])")
            assert await _edges(page, chosen) != await _edges(page, other)
        await gallery.show(page, gallery["confirming"])
        bar = await _picture(page, "progress")
        row = {bar.getpixel((x, bar.height // 2)) for x in range(3, bar.width - 3)}
        assert len(row) >= 2, "the bar's filled part looks like the rest of it"
        lines = "steps => steps.map((step) => getComputedStyle(step).borderTopStyle)"
        assert await page.locator(".steps li").evaluate_all(lines) == ["solid", "solid", "dotted"]
        await gallery.show(page, gallery["refund_claim"])
        for control in ("input[name=destination]", "button[value=ask]"):
            assert await page.locator(control).first.evaluate("box => getComputedStyle(box).borderTopStyle") == "solid"


async def test_an_address_has_room_for_three_groups_in_a_line_on_any_screen(gallery: Gallery) -> None:
    """Two columns, and two in the second of them, are too many for a small laptop."""
    async with gallery.page() as page:
        await gallery.show(page, gallery["waiting"])
        address = page.locator(".where .hex").first
        for width in (*range(320, 1_300, 70), 896, 1_024):
            await page.set_viewport_size({"width": width, "height": 800})
            wraps_at = await address.evaluate(
                "hex => { const tops = [...hex.children].map((part) => part.getBoundingClientRect().top);"
                " return tops.filter((top) => top === tops[0]).length; }"
            )
            assert wraps_at >= 3, width


async def test_a_message_keeps_off_the_edges_of_a_phone(gallery: Gallery) -> None:
    async with gallery.page(PHONE) as page:
        await page.goto(str(gallery.server.make_url("/checkout/pay_unknown")))
        box = await page.locator(".message").bounding_box()
        assert box is not None
        assert box["x"] >= 8
        assert box["x"] + box["width"] <= PHONE["width"] - 8


async def _edges(page: Page, selector: str) -> str:
    edges: str = await page.locator(selector).first.evaluate(
        "link => { const { outlineStyle, outlineColor, borderColor } = getComputedStyle(link);"
        " return [outlineStyle, outlineColor, borderColor].join(); }"
    )
    return edges


async def _picture(page: Page, selector: str) -> Image.Image:
    return Image.open(io.BytesIO(await page.locator(selector).first.screenshot())).convert("RGB")


async def test_the_number_to_tell_the_shop_stands_on_one_line_of_a_phone(gallery: Gallery) -> None:
    async with gallery.page(PHONE) as page:
        await gallery.show(page, gallery["late"])
        number = page.locator(".boxed dd.mono").first
        assert await number.evaluate(LINES) == 1


async def test_a_sent_hash_has_the_same_groups_as_the_pages_own(gallery: Gallery) -> None:
    async with gallery.page() as page:
        await gallery.show(page, gallery["confirming"])
        own = page.locator(".hex").first
        hash_ = (await own.inner_text()).replace(" ", "")
        built = await page.evaluate(
            """async (hash) => {
              const { src } = document.querySelector("script[type=module][src]");
              return (await import(new URL("wallet_view.js", src))).grouped(hash).innerHTML;
            }""",
            hash_,
        )
        assert built == await own.inner_html()
