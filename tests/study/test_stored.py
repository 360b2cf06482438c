"""What is stored has a format: unknown fields are passed over, old ones upgraded, newer formats refused in words."""

import json
import math
from dataclasses import replace

import optuna
import pytest
import torch

from chattn_nas.errors import InputError, NewerFormatError, RunError
from chattn_nas.judging import Calibration, Comparison, Confirmation, Fidelity, Network
from chattn_nas.judging.agreement import Agreement, Excess
from chattn_nas.judging.calibration import Tried
from chattn_nas.judging.test_set import HeldOutScores
from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.proxy.measurement import StageScale
from chattn_nas.spec.spec import Spec, stored
from chattn_nas.stored import Stored
from chattn_nas.study._optuna import all_trials, queue_trial
from chattn_nas.study.attributes import StudyAttributes, TrialAttributes, study_attributes, trial_attributes
from chattn_nas.study.history import history
from chattn_nas.training.checkpoint import NAME, Header, read_checkpoint
from chattn_nas.training.result import NAME as RESULT
from chattn_nas.training.result import TrainingResult, read_result

MEASUREMENT = Measurement(
    outcome=Outcome.COMPLETE, rungs=(Rung(epoch=1, score=0.5, loss=math.inf, figures={"recall": [0.5, 1]}),),
    test_score=0.25, stage_scales=(StageScale(stage=1, ratio=1.0, start=1.0, end=2.0),), parameters=5, macs=7,
    versions={"torch": "2.14.1"},
)  # fmt: skip
COMPARED = Comparison(
    seeds=2, mean=1.0, sd=0.5, t_low=None, t_high=None, bootstrap_low=None, bootstrap_high=None, p=0.25, sign_p=0.5,
    detectable=None, judgement="better",
)  # fmt: skip
NETWORK = Network(
    hash="a", name="se", roles=("candidate",), search=90.0, search_pooled=None, search_seeds=1,
    scores={10000: 91.0, 10001: 92.0}, none=COMPARED, failures={10002: "diverged"},
)  # fmt: skip
FIDELITY = Fidelity(rungs=(1, 3), image_size=16, width=None, images=100)
AGREED = Agreement(architectures=8, tau=0.5, tau_low=0.1, tau_high=0.9, rho=0.5, rho_low=0.1, rho_high=0.9)
STORED = [
    MEASUREMENT,
    TrainingResult(plan={"seed": 0}, test_score=0.5, test_loss=1.0, score=None, loss=None, seconds=1.0,
                   date="2026-11-26", device="cpu", versions={"torch": "2.14.1"}),
    Header(plan={"seed": 0}, epoch=1, rows=[{"epoch": 1, "train_loss": 1.0, "score": 0.5}]),
    Confirmation(networks=(NETWORK,), winner="a", rival=None, epochs=4, test={"a": {"10000": 0.9}}, test_images=10),
    Calibration(spec=FIDELITY, full=replace(FIDELITY, rungs=(12,)), full_seconds=3.0, ceiling=AGREED, part=0.8,
                tried=(Tried(fidelity=FIDELITY, agreement=AGREED, excess=Excess(mean=0.1, p=0.4, sd=1.0)),)),
    HeldOutScores(scores={"a": {"10000": 0.9}}, images=10, networks={"a": "se"}),
    TrialAttributes(hash="a", seed=0, outcome=Outcome.PRUNED, measurement=MEASUREMENT, rungs={0: (0.5, 7.0)}),
    StudyAttributes(spec={"name": "x"}, reference={"macs": 7}, plan=({"hash": "a"},)),
]  # fmt: skip


@pytest.mark.parametrize("one", STORED, ids=lambda one: type(one).__name__)
def test_round_trip_unknown_fields_and_formats(one: Stored) -> None:
    plain = json.loads(json.dumps(one.to_dict()))
    assert plain["format"] == one.FORMAT
    assert type(one).from_dict(plain) == one
    assert type(one).from_dict({**plain, "of_tomorrow": {"deep": 1}}) == one, "what this version does not know"
    with pytest.raises(NewerFormatError, match=r"^it is of format 99, and this version .* a newer version wrote it"):
        type(one).from_dict({**plain, "format": 99}, "it")
    with pytest.raises(RunError, match=r"^it cannot be read"):
        type(one).from_dict(["no mapping"], "it")


def test_the_first_format_called_scores_accuracies() -> None:
    rung = {"epoch": 1, "accuracy": 0.5, "loss": 1.0}
    old = Measurement.from_dict({"outcome": "complete", "rungs": [rung], "test_accuracy": 0.25})
    assert (old.score, old.test_score) == (0.5, 0.25)
    trial = TrialAttributes.from_dict({"hash": "a", "measurement": {"outcome": "pruned", "rungs": [rung]}})
    assert trial.measurement is not None
    assert trial.measurement.score == 0.5
    header = Header.from_dict({"plan": {}, "epoch": 1, "rows": [{"epoch": 1, "accuracy": 0.5}], "network": {}})
    assert header.rows == [{"epoch": 1, "score": 0.5}]
    assert HeldOutScores.from_dict({"a": {"0": 0.5}}).scores == {"a": {"0": 0.5}}
    plain = STORED[3].to_dict()
    network = plain["networks"][0]
    assert network["scores"] == {"10000": 0.91, "10001": 0.92}, "a score is a fraction wherever it is stored"
    network |= {"scores": {"10000": 91.0, "10001": 92.0}, "search": 90.0}
    assert Confirmation.from_dict(plain | {"format": 2}) == STORED[3], "up to format 2 it was as it is shown"
    del plain["format"]
    network["accuracies"] = network.pop("scores")
    network["none"] |= {"p": 0.1, "p_holm": 0.25}
    assert Confirmation.from_dict(plain) == STORED[3], "p-values were corrected by Holm's method"


def test_damage_is_named() -> None:
    with pytest.raises(RunError, match=r"^trial 3 cannot be read: seed: .*integer"):
        TrialAttributes.from_dict({"seed": "x"}, "trial 3")
    study = optuna.create_study()
    queue_trial(study, {}, {"label": "none"})
    (trial,) = all_trials(study)
    assert trial.user_attrs["format"] == TrialAttributes.FORMAT
    assert trial_attributes(trial).label == "none"
    study.set_user_attr("format", 99)
    with pytest.raises(NewerFormatError, match="is of format 99"):
        study_attributes(study)
    told = optuna.create_study()
    told.add_trial(optuna.create_trial(value=1.0, user_attrs={"measurement": {"format": 99}}))
    with pytest.raises(NewerFormatError, match="the measurement of a trial is of format 99"):
        history(told)


def test_what_a_newer_version_stored_is_not_trained_over(tmp_path) -> None:
    (tmp_path / RESULT).write_text('{"format": 99}')
    with pytest.raises(NewerFormatError):
        read_result(tmp_path)
    torch.save({"header": {"format": 99}}, tmp_path / NAME)
    with pytest.raises(NewerFormatError):
        read_checkpoint(tmp_path, {})


def test_a_spec_of_a_newer_format_is_refused() -> None:
    spec = Spec.model_validate(
        {"name": "x", "backbone": {"model": "cifar_resnet8"}, "data": {"dataset": "digits"}, "space": {"all": ["none"]}}
    )
    assert Spec.from_stored(stored(spec)) == spec
    with pytest.raises(InputError, match="the spec of this run is of format 99"):
        Spec.from_stored({**stored(spec), "format": 99})
