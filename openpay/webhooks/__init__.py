"""Carries events to the merchants' servers: signed, retried, and each endpoint on its own."""

from openpay.webhooks.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
