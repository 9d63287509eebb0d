"""Real pictures of each kind, as a merchant's logo may be one."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw


def picture(kind: str, size: tuple[int, int] = (96, 96), **options: object) -> bytes:
    """A drawing as `PNG`, `JPEG`, `WEBP` or `GIF`; options are those of Pillow's `save`."""
    image = Image.new("RGB", size, "#ffffff")
    width, height = size
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, width - 1, height - 1), fill="#d9480f")
    draw.rectangle((width // 3, height // 4, width // 2, 3 * height // 4), fill="#ffffff")
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
