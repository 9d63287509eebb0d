"""The two other processes of `scripts/bench checkout`: the application itself, and the pages that look at it."""
