"""Trains networks in order to judge them: confirm, calibrate, and the one reading of the test set."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.judging._calibrate import calibrate as calibrate
    from chattn_nas.judging._confirm import confirm as confirm
    from chattn_nas.judging._confirm import confirm_plan as confirm_plan
    from chattn_nas.judging._confirmation import Confirmation as Confirmation
    from chattn_nas.judging._confirmation import Network as Network
    from chattn_nas.judging._confirmation import confirmation as confirmation
    from chattn_nas.judging._confirmation import confirmed_winner as confirmed_winner
    from chattn_nas.judging.calibration import Calibration as Calibration
    from chattn_nas.judging.comparison import Comparison as Comparison
    from chattn_nas.judging.comparison import compare as compare
    from chattn_nas.judging.comparison import compare_block as compare_block
    from chattn_nas.judging.fidelities import Fidelity as Fidelity
    from chattn_nas.judging.fidelities import candidates as candidates
    from chattn_nas.judging.fidelities import of_spec as of_spec
    from chattn_nas.judging.recipe import tune_recipe as tune_recipe
    from chattn_nas.judging.search_plan import SearchPlan as SearchPlan
    from chattn_nas.judging.search_plan import plan_search as plan_search

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._calibrate": "calibrate",
        "._confirm": "confirm confirm_plan",
        ".calibration": "Calibration",
        ".comparison": "Comparison compare compare_block",
        "._confirmation": "Confirmation Network confirmation confirmed_winner",
        ".fidelities": "Fidelity candidates of_spec",
        ".recipe": "tune_recipe",
        ".search_plan": "SearchPlan plan_search",
    },
)
