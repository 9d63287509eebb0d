"""Figures about Open Pay, each beside what it is compared with, measured in one run. Run by `scripts/bench`."""
