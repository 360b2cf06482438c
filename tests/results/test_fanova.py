import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from chattn_nas.results._fanova import fanova


@pytest.mark.parametrize(("rows", "places"), [(40, (3, 3, 3)), (150, (9, 2, 4, 4))])
def test_shares_are_those_of_optunas_evaluator(rows, places):
    rng = np.random.default_rng(0)
    features = rng.integers(places, size=(rows, len(places)))
    features[0] = np.array(places) - 1
    target = features @ np.arange(len(places)) + rng.normal(size=rows)
    space = {f"x{index}": IntDistribution(0, most - 1) for index, most in enumerate(places)}
    study = optuna.create_study()
    for row, value in zip(features.tolist(), target.tolist(), strict=True):
        study.add_trial(create_trial(value=value, params=dict(zip(space, row, strict=True)), distributions=space))
    wanted = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=list(space))
    assert fanova(features, target).tolist() == pytest.approx([wanted[name] for name in space], abs=1e-9)


def test_nothing_is_shared_where_nothing_varies():
    assert np.isnan(fanova(np.arange(20).reshape(10, 2), np.ones(10))).all()
