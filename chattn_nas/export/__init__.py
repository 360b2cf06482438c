"""Writes a network that needs only torch, and proves that it does."""

from chattn_nas.export import timm_entry  # noqa: F401 (importing registers chattn_net with timm)
from chattn_nas.export.bench import Latency, bench_folder
from chattn_nas.export.card import Card
from chattn_nas.export.evaluate import Score, evaluate_folder
from chattn_nas.export.export import DEFAULT_FORMATS, FORMATS, ExportReport, check_request, export_network
from chattn_nas.export.fold import fold_batchnorm
from chattn_nas.export.folder import ExportedFolder, open_folder

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "Card",
    "ExportReport",
    "ExportedFolder",
    "Latency",
    "Score",
    "bench_folder",
    "check_request",
    "evaluate_folder",
    "export_network",
    "fold_batchnorm",
    "open_folder",
]
