"""What the merchant API and the checkout page share: problem errors, request ids, limits, security headers."""

from openpay.http.application import HttpSettings, new_application
from openpay.http.problems import STATUS_OF, problem_response, status_of
from openpay.http.rates import RateLimit
from openpay.http.request_ids import request_id

__all__ = [
    "STATUS_OF",
    "HttpSettings",
    "RateLimit",
    "new_application",
    "problem_response",
    "request_id",
    "status_of",
]
