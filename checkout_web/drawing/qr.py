"""QR codes as SVG, drawn on the server."""

from __future__ import annotations

from functools import lru_cache

import qrcode
from markupsafe import Markup, escape

QUIET_ZONE = 4
"""Empty modules on each side (ISO/IEC 18004 asks for four)."""


def qr_svg(text: str, *, label: str) -> Markup:
    """An `<svg>` of the QR code for `text`, black on white in every colour scheme, read aloud as `label`."""
    size, path = _draw(text)
    return Markup(
        '<svg class="qr" viewBox="0 0 {size} {size}" role="img" aria-label="{label}" shape-rendering="crispEdges">'
        '<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path fill="#000" d="{path}"/></svg>'
    ).format(size=size, label=escape(label), path=path)


@lru_cache(maxsize=512)
def _draw(text: str) -> tuple[int, str]:
    """Side length in modules and one SVG path over all dark modules, a rectangle for each run in a row."""
    matrix = _code(text, mask=_best_mask(text)).get_matrix()
    parts = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            run = x
            while run < len(row) and row[run]:
                run += 1
            if run > x:
                parts.append(f"M{x} {y}h{run - x}v1H{x}z")
            x = max(run, x + 1)
    return len(matrix), "".join(parts)


@lru_cache(maxsize=16_384)
def _best_mask(text: str) -> int:
    """Which of the eight masks a camera reads best (ISO/IEC 18004, 7.8.3), 0 to 7. Kept for more texts than drawings
    are, being small: trying all eight takes twice as long as all else of drawing a page, which is often drawn again."""
    code = _code(text)
    code.best_fit()
    return int(code.best_mask_pattern())


def _code(text: str, *, mask: int | None = None) -> qrcode.QRCode:
    # The lowest correction: nothing on a screen is smudged, and larger modules are read more easily.
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=QUIET_ZONE, mask_pattern=mask)
    code.add_data(text)
    return code
