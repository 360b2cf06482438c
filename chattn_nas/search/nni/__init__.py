"""Microsoft's NNI 3.0 as the engine of a search."""
