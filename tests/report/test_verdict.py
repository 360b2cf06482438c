import numpy as np
import pytest
from results_study import BACKBONE, add_trial, architecture_of, make_world, new_study, simulate

from chattn_nas.report._markdown import _baselines
from chattn_nas.report.facts import gather
from chattn_nas.report.figures import faded
from chattn_nas.report.page import _json, page
from chattn_nas.report.verdict import verdict
from chattn_nas.results import Standing, leaderboard
from chattn_nas.results.words import name_of, p_value
from chattn_nas.space import Architecture, StageChoice
from chattn_nas.study.record import records


def of(study):
    return verdict(study, records(study), Standing(study), leaderboard(study))


def said(study) -> str:
    return " ".join(of(study).sentences)


def close(lead: float, noise: float, trainings: int, useful: float | None = None):
    """A study in which none leads the mean of all others by so much."""
    rng = np.random.default_rng(3)
    study = new_study()
    if useful is not None:
        study.set_user_attr("spec", study.user_attrs["spec"] | {"judging": {"useful": useful}})
    cells = [((0, 0, 0), "none"), ((1, 1, 1), "uniform se"), ((2, 2, 2), "uniform eca")]
    cells += [(tuple(int(kind) for kind in rng.integers(5, size=3)), "") for _ in range(trainings)]
    for index, (cell, label) in enumerate(cells):
        worth = 90 - lead * np.mean([kind > 0 for kind in cell])
        seed = index % 3 if not label else 0
        add_trial(study, architecture_of(cell), seed=seed, label=label, accuracies=[70, worth + noise * rng.normal()])
    return study


def test_does_not_pay_needs_an_interval_without_a_useful_gain():
    """It was said from 36 validation images and an interval of -15 to +17."""
    unsure = close(2.0, 6.0, 12)
    if Standing(unsure).best().label != "none":
        add_trial(unsure, architecture_of((0, 0, 0)), seed=1, accuracies=[70, 110], label="none")
    text = said(unsure)
    assert "does not pay here" not in text
    assert "That attention does not pay is **not shown yet**" in text
    assert "more trainings, spread over seeds, would show a true difference of 0.3 points" in text
    sure = close(6.0, 0.2, 60)
    assert "**Attention does not pay here**" in said(sure)
    assert "which excludes a useful gain (0.3 points)" in said(sure)


def test_trainings_that_collapsed_are_named_and_no_absurd_count_is_told():
    """A few collapses made intervals 40 points wide and asked for 740,000 more trainings, without a word why."""
    study = close(0.0, 0.4, 28)
    assert "far below the rest" not in said(study)
    for seed, (cell, accuracy) in enumerate((((4, 4, 1), 10.0), ((3, 1, 4), 11.5))):
        add_trial(study, architecture_of(cell), seed=seed, accuracies=[10, accuracy])
    text = said(study)
    assert "**Of 33 trainings 2 ended far below the rest** (10.00 %, 11.50 %)" in text
    assert "More than 10,000 more trainings" in text


def test_trainings_of_the_leader_that_failed_are_told():
    """What diverged is in no mean: a network that goes well on some seeds alone would lead in silence."""
    study = close(2.0, 0.3, 30)
    best = Standing(study).best()
    assert "no figure here counts that" not in said(study)
    kinds = next(cell for cell in np.ndindex(6, 6, 6) if architecture_of(cell).hash == best.hash)
    for seed in (7, 8):
        add_trial(study, architecture_of(kinds), seed=seed, accuracies=[], outcome="diverged")
    assert "Of it, 2 trainings diverged: no figure here counts that, and `confirm` does." in said(study)


def test_what_is_useful_is_a_setting():
    study = close(1.0, 0.3, 60, useful=5.0)
    assert "excludes a useful gain (5 points)" in said(study)


def test_one_validation_image_is_named():
    study = simulate(make_world(1), 40)
    study.set_user_attr("validation_images", 36)
    assert "36 validation images: one image is worth 2.8 points" in said(study)
    study.set_user_attr("metric", "mean_iou")
    assert "Scores are read from 36 validation images." in said(study), "no share of the images"


def test_an_interval_that_rests_on_the_prior_says_so():
    assert "and the intervals rest on that" in said(new_single_seed())
    clear = said(new_single_seed(lead=8.0))
    assert "against no attention**. Hardly any two seeds" in clear, "it is shown"
    assert "and the intervals rest on that" in clear, "it was said only where nothing was shown"
    assert "far below the rest" not in clear, "a difference is no collapse"


def new_single_seed(lead: float = 0.0):
    rng = np.random.default_rng(1)
    study = new_study()
    for cell, label in [((0, 0, 0), "none"), *(((a, b, 1), "") for a in range(4) for b in range(4))]:
        worth = 90 + lead * (cell != (0, 0, 0)) + rng.normal() / (1 + lead)
        add_trial(study, architecture_of(cell), seed=0, label=label, accuracies=[70, worth])
    return study


def test_a_uniform_network_with_other_settings_is_uniform():
    """It was called mixed, and its win reported against the best uniform choice."""
    rng = np.random.default_rng(2)
    study = new_study()
    tuned = Architecture(BACKBONE, (StageChoice("se", {"reduction": 2}),) * 3)
    mixed = Architecture(BACKBONE, (StageChoice("se", {"reduction": 2}), StageChoice("eca"), StageChoice("se")))
    add_trial(study, architecture_of((0, 0, 0)), seed=0, label="none", accuracies=[70, 90.0])
    add_trial(study, architecture_of((1, 1, 1)), seed=0, label="uniform se", accuracies=[70, 90.2])
    for seed in range(3):
        add_trial(study, tuned, seed=seed, accuracies=[70, 93 + 0.1 * rng.normal()])
        add_trial(study, mixed, seed=seed, accuracies=[70, 91 + 0.1 * rng.normal()])
    standing = Standing(study)
    best = standing.best()
    assert best.uniform
    assert not next(pick for pick in standing.picks if "eca" in pick.description).uniform
    assert standing.best_uniform().hash == best.hash
    assert name_of(best).startswith("uniform se(")
    assert "The same attention in every stage leads. It stands at" in said(study)
    assert "against the best mixed network, se(reduction=2) | eca" in said(study), "nothing spoke for mixing, it said"


def test_a_stage_without_attention_makes_a_network_mixed_unless_it_cannot_take_it():
    study = new_study()
    add_trial(study, architecture_of((1, 1, 0)), seed=0, label="uniform se", accuracies=[70, 90.0])
    add_trial(study, architecture_of((2, 2, 2)), seed=0, label="uniform eca", accuracies=[70, 90.0])
    add_trial(study, architecture_of((2, 2, 0)), seed=0, accuracies=[70, 90.0])
    add_trial(study, Architecture(BACKBONE, (StageChoice("se", {"reduction": 2}),) * 2 + (StageChoice(),)),
              seed=0, accuracies=[70, 90.0])  # fmt: skip
    kinds = {pick.description: pick.uniform for pick in Standing(study).picks}
    assert not next(uniform for name, uniform in kinds.items() if name.startswith("eca") and name.endswith("none"))
    assert next(uniform for name, uniform in kinds.items() if "reduction=2" in name)


def test_colours_fade_with_uncertainty():
    assert faded(1.0, 0.01) == pytest.approx(1.0)
    assert faded(1.0, 2.0) < 0.5
    assert faded(-1.0, 2.0) == -faded(1.0, 2.0)
    assert faded(0.0, 0.0) == 0.0


@pytest.mark.parametrize("crossed", [True, False])
def test_baselines_that_change_their_order_after_a_rung_are_warned_of(crossed):
    study = new_study()
    for index in range(6):
        label = {0: "none", 5: "random_gate"}.get(index, f"uniform {index}")
        early = 70 - index if crossed else 70 + index
        add_trial(study, architecture_of((index,) * 3), seed=0, label=label, accuracies=[early, 90.0 + index])
    warned = any("stand in another order than at the end" in detail for detail in of(study).details)
    assert warned is crossed


def test_a_tie_has_no_leader():
    study = new_study()
    for cell, label in (((0, 0, 0), "none"), ((1, 1, 1), "uniform se"), ((2, 2, 2), "uniform eca")):
        add_trial(study, architecture_of(cell), seed=0, label=label, accuracies=[33, 33.5])
    gates = Architecture(BACKBONE, (StageChoice("random_gate"),) * 3)
    add_trial(study, gates, seed=0, label="random_gate", accuracies=[33, 33.5])
    assert of(study).headline == "4 of 4 architectures share the first place"
    assert "the gain is not evidence" not in said(study), "none has no gain"


def test_only_what_was_retrained_is_called_confirmed():
    study = close(2.0, 1.0, 12)
    picks = Standing(study).picks
    rows = [
        {"name": pick.hash, "role": "uniform", "pick": pick, "margin": None, "seeds": 1, "status": status}
        for pick, status in zip(picks[:2], ("confirmed", "unconfirmed"), strict=True)
    ]
    ends = [line.split("|")[-2].strip() for line in _baselines(rows).splitlines()[2:]]
    assert ends == ["confirmed", "unconfirmed"]


def test_a_report_is_of_one_moment_while_the_search_goes_on(monkeypatch):
    """A network that was first trained between two tables broke the report: it was on one and not on the other."""
    study = new_study()
    cells = [(0, 0, 0), (1, 1, 1), (2, 2, 2), (1, 2, 1), (2, 1, 1), (3, 1, 1), (3, 2, 1), (3, 3, 1), (3, 3, 2)]
    for cell in cells[:5]:
        add_trial(study, architecture_of(cell), seed=0, accuracies=[70, 90 + cell[0]])
    asked = iter(cells[5:])

    def growing(*given, **named):
        trials = get_trials(*given, **named)
        if (cell := next(asked, None)) is not None:
            add_trial(study, architecture_of(cell), seed=0, accuracies=[70, 99])
        return trials

    get_trials = study.get_trials
    monkeypatch.setattr(study, "get_trials", growing)
    facts = gather(study)
    assert {record.hash for record in facts.records} == set(facts.board["hash"])
    assert page(facts)
    assert len(cells) - len(facts.records) >= 3


def test_what_json_lacks_is_null_and_names_stay_as_they_are():
    """A class called BaNaNa was drawn as Banulla."""
    assert _json({"x": ["BaNaNa"], "y": [float("nan"), float("inf"), 1.5]}) == '{"x":["BaNaNa"],"y":[null,null,1.5]}'


def test_no_p_value_is_zero():
    assert [p_value(p) for p in (0.0, 0.0004, 0.0316, 1.0)] == ["p below 0.001"] * 2 + ["p 0.032", "p 1.000"]
