"""Shared weights: a supernet of the space is trained once, and its ranking orders the first trials."""
