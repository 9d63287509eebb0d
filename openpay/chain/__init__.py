"""Reading and proving blocks, and talking to nodes. Shared by the watcher, the settler and the devnet."""
