"""The watcher: reads every block of a chain, proves it, and records what it means for payments."""

from watcher.daemon import Watcher

__all__ = ["Watcher"]
