"""Every error code of the API with its status and meaning: the table of `/docs`, and what a problem's `type` points to.

The tests hold this equal to the codes that the source raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Code:
    """One row: the HTTP status that comes with a code, and what the code tells."""

    status: int
    meaning: str


def _rows(status: int, meanings: Mapping[str, str]) -> dict[str, Code]:
    return {code: Code(status=status, meaning=meaning) for code, meaning in meanings.items()}


CODES: Mapping[str, Code] = {
    **_rows(
        400,
        {
            "malformed_json": "The body is not one JSON object that every reader understands alike.",
            "invalid_idempotency_key": "Idempotency-Key is not 1 to 255 printable ASCII characters, sent once.",
        },
    ),
    **_rows(
        401,
        {
            "missing_api_key": "No Authorization header.",
            "malformed_authorization": "The header does not read: Bearer, a space, the key.",
            "invalid_api_key": "Not a key, mistyped, or unknown here.",
            "revoked_api_key": "The key was revoked.",
        },
    ),
    **_rows(
        403,
        {
            "mode_not_configured": "This server has no chain for the key's mode.",
            "not_the_sender": "The claim is not signed by the wallet that sent the money.",
        },
    ),
    **_rows(
        404,
        {
            "unknown_path": "Nothing is at this path.",
            "not_found": "No object can have this id.",
            "payment_not_found": "No such payment of this merchant in the key's mode.",
            "refund_not_found": "No such refund of this merchant in the key's mode.",
            "withdrawal_not_found": "No such withdrawal of this merchant in the key's mode.",
            "endpoint_not_found": "No such webhook endpoint of this merchant in the key's mode.",
            "delivery_not_found": "No such delivery of this merchant in the key's mode.",
            "api_key_not_found": "No such API key of this merchant in the key's mode.",
            "merchant_not_found": "No such merchant.",
            "signing_key_not_found": "The merchant has no signing key yet.",
        },
    ),
    **_rows(405, {"method_not_allowed": "The path exists; Allow names its methods."}),
    **_rows(408, {"request_timeout": "The body did not arrive in time."}),
    **_rows(
        409,
        {
            "invalid_state": "The payment or refund is not in a state that allows this.",
            "not_settled": "The payment's money is on its way to the treasury: refund it once it is settled.",
            "already_claimed": "The refund's address was named by its sender already.",
            "payment_has_deposits": "Money has arrived, so the payment cannot be canceled.",
            "endpoint_disabled": "The delivery's endpoint is disabled: enable it first.",
            "endpoint_deleted": "The delivery's endpoint was deleted.",
            "endpoint_exists": "Another webhook endpoint has this URL.",
            "no_webhook_endpoint": "There is no active endpoint to send a test to.",
            "too_many_endpoints": "No more active endpoints fit.",
            "retry_not_allowed": "The payment has not failed or expired, or its merchant does not allow another try.",
            "too_many_reports": "The checkout page reported as many transactions as a payment may have.",
            "idempotency_mismatch": "The Idempotency-Key was used for another request within 24 hours.",
            "idempotency_in_progress": "The first request with this Idempotency-Key is still running.",
        },
    ),
    **_rows(413, {"body_too_large": "The body has more bytes than the server reads."}),
    **_rows(415, {"unsupported_media_type": "The body is not application/json in UTF-8, uncompressed."}),
    **_rows(421, {"unknown_host": "This server does not answer to that Host."}),
    **_rows(
        422,
        {
            "unknown_field": "The body has fields that nothing reads; detail names all of them.",
            "missing_field": "A required field is missing.",
            "unknown_parameter": "The query string has a parameter that nothing reads.",
            "invalid_string": "Text holds a character that cannot be stored.",
            "invalid_amount": "Not a decimal string, or outside of what can be asked for or refunded.",
            "invalid_currency": "A currency other than USD.",
            "invalid_token": "An unknown token, one named twice, or none.",
            "token_unavailable": "None of the accepted tokens has a fresh price at the moment.",
            "invalid_description": "A description that is too long or cannot be shown.",
            "invalid_metadata": "Too many names, names or values too long, or values that are not strings.",
            "invalid_expires_in": "A lifetime outside of what the accepted tokens allow.",
            "invalid_url": "Not an http(s) URL that is safe to follow.",
            "invalid_line_items": "Too many lines, or one that does not make sense.",
            "invalid_allow_retry": "Neither true nor false.",
            "invalid_events": "An unknown event, or an empty list.",
            "invalid_disabled": "Neither true nor false.",
            "invalid_limit": "Not a whole number from 1 to 100.",
            "invalid_starting_after": "Not the id of an object in this list.",
            "invalid_status": "Not a payment's status.",
            "invalid_payment_id": "Not an id.",
            "invalid_address": "Not 0x and 40 hex digits, or with a wrong EIP-55 checksum.",
            "invalid_destination": "An address from which the money would not come back.",
            "invalid_signature": "Not a signature of 65 bytes in hex.",
            "nothing_to_refund": "Nothing of the payment is left to go back.",
            "treasury_too_low": "The treasury holds less than the refund.",
            "nothing_to_withdraw": "The treasury holds none of this token.",
        },
    ),
    **_rows(429, {"rate_limited": "Too many requests: Retry-After says when to go on."}),
    **_rows(500, {"internal_error": "A bug on this side; the log has it under the request's id."}),
    **_rows(
        503,
        {
            "chain_unavailable": "No node answers at the moment.",
            "price_unavailable": "No fresh price at the moment.",
            "concurrent_change": "Another request changed the same object first.",
            "database_busy": "The database is away or busy for a moment.",
        },
    ),
}
