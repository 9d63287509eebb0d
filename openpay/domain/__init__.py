"""The rules of a payment: no I/O, no clock, no logging. `now` and `head` are always passed in."""
