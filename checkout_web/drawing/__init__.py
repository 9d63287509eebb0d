"""From what a page says to its HTML: templates, codes, colours, files."""
