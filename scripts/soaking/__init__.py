"""The soak: a long made chain, failing nodes, a watcher that is killed; then one comparison.

`plan` draws the chain, `troubles` what the nodes do meanwhile, `reader` is the watcher's process, `books` what the
ledger must hold, `run` brings them together.
"""
