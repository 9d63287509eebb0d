"""Moves settled money: from a paid payment's vault to the treasury, and from there to the merchant."""

from openpay.settlement.settler import Settler

__all__ = ["Settler"]
