"""Serves and fills the Optuna dashboard."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.dashboard.exports import link_export as link_export
    from chattn_nas.dashboard.server import annotate as annotate
    from chattn_nas.dashboard.server import serve as serve

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".exports": "link_export",
        ".server": "annotate serve",
    },
)
