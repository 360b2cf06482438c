"""Candidates per stage, the search space, and architectures in canonical form."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.space.architecture import NONE as NONE
    from chattn_nas.space.architecture import Architecture as Architecture
    from chattn_nas.space.architecture import Backbone as Backbone
    from chattn_nas.space.architecture import StageChoice as StageChoice
    from chattn_nas.space.candidate import Candidate as Candidate
    from chattn_nas.space.search_space import SearchSpace as SearchSpace
    from chattn_nas.space.settings import SpaceSettings as SpaceSettings
    from chattn_nas.space.stage import SlotShape as SlotShape
    from chattn_nas.space.stage import Stage as Stage
    from chattn_nas.space.stage import of_one_width as of_one_width

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".architecture": "Architecture Backbone NONE StageChoice",
        ".candidate": "Candidate",
        ".search_space": "SearchSpace",
        ".settings": "SpaceSettings",
        ".stage": "SlotShape Stage of_one_width",
    },
)
