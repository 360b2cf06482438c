"""Shared weights: a supernet of the space is trained once, and what it says orders the first trials."""
