"""Before a long run: which learning rate, does it learn at all, will it end before the deadline."""
