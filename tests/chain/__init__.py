"""Tests of openpay.chain."""
