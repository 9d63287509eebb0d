"""Tools for whoever translates the checkout page."""
