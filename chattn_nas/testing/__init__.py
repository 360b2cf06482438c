"""Conformance batteries for parts of third parties; import the submodule that you need."""
