"""Between requests and handlers: who may, how often, and what browsers are told."""
