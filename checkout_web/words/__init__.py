"""Languages: every text the page has, and how each language writes numbers, times and amounts."""
