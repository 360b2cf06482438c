"""One model over all trainings of a study."""

from chattn_nas.results.pooled.fit import fit
from chattn_nas.results.pooled.model import Estimate, Pooled
from chattn_nas.results.pooled.observation import Observation, choices_of, observations

__all__ = ["Estimate", "Observation", "Pooled", "choices_of", "fit", "observations"]
