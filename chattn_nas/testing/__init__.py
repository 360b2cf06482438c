"""Conformance batteries for what third parties add; import the submodule that you need."""
