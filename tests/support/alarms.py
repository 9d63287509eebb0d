"""An alarm that remembers what it heard."""

from __future__ import annotations

from openpay.domain.alerts import AlertKind


class Heard:
    """`standing` maps what is raised now to its detail; `raised` counts in order, each alert once while it stands.

    All alerts must be of the one chain.
    """

    def __init__(self, chain_id: int) -> None:
        self._chain_id = chain_id
        self.standing: dict[tuple[AlertKind, str], str] = {}
        self.raised: list[tuple[AlertKind, str]] = []

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        assert chain_id == self._chain_id
        if (kind, subject) not in self.standing:
            self.raised.append((kind, subject))
        self.standing[kind, subject] = detail

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        assert chain_id == self._chain_id
        self.standing.pop((kind, subject), None)
