"""Writes a network that needs only torch, and proves that it does."""

from chattn_nas.export.card import Card
from chattn_nas.export.export import FORMATS, ExportReport, export_network

__all__ = ["FORMATS", "Card", "ExportReport", "export_network"]
