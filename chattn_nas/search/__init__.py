"""Proposing and running trials: queue, workers, samplers, and the engines NNI and Ray."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import callable_room, hand_on

if TYPE_CHECKING:
    from chattn_nas.search._join import join as join
    from chattn_nas.search.callbacks import Callback as Callback
    from chattn_nas.search.engine import search as search

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._join": "join",
        ".callbacks": "Callback",
        ".engine": "search",
    },
)
callable_room(__name__)
