"""Open pages told of changes: who is waiting for which payment, and what is written to them."""
