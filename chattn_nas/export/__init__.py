"""Writes a network that needs only torch, and proves that it does."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import callable_room, hand_on

if TYPE_CHECKING:
    from chattn_nas.export.bench import Timing as Timing
    from chattn_nas.export.bench import bench_folder as bench_folder
    from chattn_nas.export.card import Card as Card
    from chattn_nas.export.evaluate import Score as Score
    from chattn_nas.export.evaluate import evaluate_folder as evaluate_folder
    from chattn_nas.export.export import DEFAULT_FORMATS as DEFAULT_FORMATS
    from chattn_nas.export.export import FORMATS as FORMATS
    from chattn_nas.export.export import ExportReport as ExportReport
    from chattn_nas.export.export import check_request as check_request
    from chattn_nas.export.export import export_network as export_network
    from chattn_nas.export.fold import fold_batchnorm as fold_batchnorm
    from chattn_nas.export.folder import ExportedFolder as ExportedFolder
    from chattn_nas.export.folder import open_folder as open_folder
    from chattn_nas.export.usage import Usage as Usage

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".bench": "Timing bench_folder",
        ".card": "Card",
        ".evaluate": "Score evaluate_folder",
        ".export": "DEFAULT_FORMATS ExportReport FORMATS check_request export_network",
        ".fold": "fold_batchnorm",
        ".folder": "ExportedFolder open_folder",
        ".usage": "Usage",
    },
)
callable_room(__name__)
