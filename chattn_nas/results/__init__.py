"""Reads a study and changes nothing: tables, the pooled model, the Pareto front, importance."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.results._best import Margin as Margin
    from chattn_nas.results._best import Pick as Pick
    from chattn_nas.results._best import Standing as Standing
    from chattn_nas.results._best import best as best
    from chattn_nas.results._efficiency import efficiency as efficiency
    from chattn_nas.results._importance import importance as importance
    from chattn_nas.results._so_far import so_far as so_far
    from chattn_nas.results.pareto import front as front
    from chattn_nas.results.pareto import hypervolume_over_time as hypervolume_over_time
    from chattn_nas.results.selection import select as select
    from chattn_nas.results.tables import architectures as architectures
    from chattn_nas.results.tables import leaderboard as leaderboard
    from chattn_nas.results.tables import rungs as rungs
    from chattn_nas.results.tables import stages as stages
    from chattn_nas.results.tables import trials as trials

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._best": "Margin Pick Standing best",
        "._efficiency": "efficiency",
        "._importance": "importance",
        ".pareto": "front hypervolume_over_time",
        ".selection": "select",
        "._so_far": "so_far",
        ".tables": "architectures leaderboard rungs stages trials",
    },
)
