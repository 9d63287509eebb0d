"""By what names customers meet a network elsewhere: a transfer on another one is the costliest mistake there is."""

from __future__ import annotations

from collections.abc import Mapping

ALSO_CALLED: Mapping[int, tuple[str, ...]] = {56: ("BEP20", "BSC")}
"""By chain id: what exchanges write where a network is to be chosen. The standard of its tokens, and its short name."""
