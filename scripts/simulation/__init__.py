"""A seeded simulation of a whole shop: plans, customers, a hostile world, and an audit of every unit."""
