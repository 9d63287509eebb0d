"""Nodes that fail in every way a node can, chains of any shape, and what a ledger must hold after reading them.

What fails and what is read know nothing of the reader, so that any other could be tested with them:

- `faults`: each way to fail, as a value: `omit_log()`, `stale_head(5)`, `hang()`, … They act on questions and answers
  of JSON-RPC alone, so that they fit in front of any node. `troubles`: which of them a reader must outlast.
- `server`: `FaultyServer`, an endpoint (HTTP, and WebSocket with `newHeads`) that answers from any source of answers
  and fails as told, by a list that may change at any time.
- `chain`: `Tree`, a maker of blocks with true hashes, forks at any depth, and what money does in them.
- `node`: `SimulatedNode`, a source of answers: one node's view of such a tree. Fast, exact, in this process or another.
- `proxy`: a host in front of a real node.
- `shop`: payments on a made chain, and an escrow that settles them.
- `ledger`: the transfers that a chain holds, found by reading it alone, and the comparison with a database.

And the reader under test:

- `watching`: the watcher as the program wires it, and its death at a chosen moment.
- `story`: chain, faults and deaths drawn by Hypothesis; `scripts/soak` does the same with a million transfers.
"""
