"""What may be chosen: candidates per stage, the search space, and architectures in canonical form."""

from chattn_nas.space.architecture import NONE, Architecture, Backbone, StageChoice
from chattn_nas.space.candidate import Candidate
from chattn_nas.space.search_space import SearchSpace
from chattn_nas.space.settings import SpaceSettings
from chattn_nas.space.stage import SlotShape, Stage, of_one_width

__all__ = [
    "NONE",
    "Architecture",
    "Backbone",
    "Candidate",
    "SearchSpace",
    "SlotShape",
    "SpaceSettings",
    "Stage",
    "StageChoice",
    "of_one_width",
]
