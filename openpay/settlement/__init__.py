"""The operator's work: settling, refunding and withdrawing, in transactions that happen once."""

from openpay.settlement.batches import Batching
from openpay.settlement.fees import FeePolicy
from openpay.settlement.settler import Settler

__all__ = ["Batching", "FeePolicy", "Settler"]
