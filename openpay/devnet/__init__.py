"""A local chain with everything on it: node, contracts, price feed, demo merchant, demo customer."""
