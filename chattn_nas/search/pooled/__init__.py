"""Proposes by the model that decides."""
