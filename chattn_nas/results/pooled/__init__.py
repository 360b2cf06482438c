"""One model over all trainings of a study."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.results.pooled._fit import fit as fit
    from chattn_nas.results.pooled._fit import fitted as fitted
    from chattn_nas.results.pooled._fit import thinned as thinned
    from chattn_nas.results.pooled.design import Choices as Choices
    from chattn_nas.results.pooled.estimate import Estimate as Estimate
    from chattn_nas.results.pooled.model import Pooled as Pooled
    from chattn_nas.results.pooled.observation import Observation as Observation
    from chattn_nas.results.pooled.observation import choices_of as choices_of
    from chattn_nas.results.pooled.observation import choices_of_stages as choices_of_stages
    from chattn_nas.results.pooled.observation import observations as observations
    from chattn_nas.results.pooled.observation import rungs_of as rungs_of

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._fit": "fit fitted thinned",
        ".design": "Choices",
        ".estimate": "Estimate",
        ".model": "Pooled",
        ".observation": "Observation choices_of choices_of_stages observations rungs_of",
    },
)
