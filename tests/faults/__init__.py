"""Nodes that fail in every way a node can, for tests of whatever reads a chain. Nothing here knows the watcher.

- `faults`: each way to fail, as a value: `omit_log()`, `stale_head(5)`, `hang()`, … They act on questions and answers
  of JSON-RPC alone, so that they fit in front of any node.
- `server`: `FaultyServer`, an endpoint (HTTP, and WebSocket with `newHeads`) that answers from any source of answers
  and fails as told, by a list that may change at any time.
- `chain`: `Tree`, a maker of blocks with true hashes, forks at any depth, and what money does in them.
- `node`: `SimulatedNode`, a source of answers: one node's view of such a tree.
- `proxy`: a host in front of a real node.
"""
