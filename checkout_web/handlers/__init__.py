"""One module for each kind of request that the page answers."""
