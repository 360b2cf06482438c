"""Shared weights: a supernet of the space is trained and scored, orders the first trials, and decides nothing."""

import csv
import json
import math
import random

import numpy as np
import pytest

from chattn_nas import tasks
from chattn_nas.errors import InputError, TrainingStopped
from chattn_nas.report import write_report
from chattn_nas.results.one_shot import LEAST, in_words, self_check, trusted
from chattn_nas.results.pooled import Observation, Pooled
from chattn_nas.search import search
from chattn_nas.search.one_shot import run as one_shot
from chattn_nas.search.one_shot.paths import additive, balanced
from chattn_nas.search.one_shot.ranking import best, ranking
from chattn_nas.search.pooled.design import most_balanced
from chattn_nas.search.pooled.networks import Networks
from chattn_nas.search.rehearsal import refuse_batches_of_one
from chattn_nas.spec import Spec
from chattn_nas.study.prediction import Prediction, centred, prediction_of
from chattn_nas.study.record import records


def quick(spec: Spec, **proxy) -> Spec:
    """One epoch over few digits."""
    data = spec.data.changed(train_limit=256)
    return spec.changed(data=data, proxy=spec.proxy.changed(**{"rungs": [1], "batch_size": 64} | proxy))


def drawn(spec: Spec, seed: int = 0) -> Prediction:
    """A prediction at random."""
    rng = random.Random(seed)
    effects = [{key: rng.gauss(0, 1) for _, key in keys} for keys in Networks(spec.search_space()).keys]
    told = {"fitted": 0.9, "scored": 8, "epochs": 1, "images": 256, "seconds": 1.0, "seed": 0}
    return Prediction(**centred(-2.0, effects), **told)


def test_the_bag_is_balanced_and_a_sum_over_stages_is_found_again() -> None:
    sizes, rng = [3, 5, 2], np.random.default_rng(0)
    rows = balanced(sizes, 30, rng)
    for size, column in zip(sizes, rows.T):
        assert (np.bincount(column, minlength=size) == 30 // size).all()
        assert all(len(set(part)) == size for part in column.reshape(-1, size).tolist()), "each once before any again"
    effects = [rng.normal(size=size) for size in sizes]
    scores = 1.5 + sum(effect[rows[:, stage]] for stage, effect in enumerate(effects))
    mean, found, explained = additive(rows, scores, sizes)
    assert explained > 1 - 1e-9
    assert np.allclose(mean + sum(one[rows[:, stage]] for stage, one in enumerate(found)), scores)


def test_one_seed_gives_one_prediction_and_names_what_it_scored(make_spec) -> None:
    spec = quick(make_spec())
    lines: list[str] = []
    first, again = one_shot.predict(spec, say=lines.append), one_shot.predict(spec)
    assert first.effects == again.effects
    assert first.mean == again.mean
    other = one_shot.predict(spec.changed(search=spec.search.changed(seed=1)))
    assert other.effects != first.effects
    sizes = Networks(spec.search_space()).sizes
    assert first.scored == 2 * sizes.sum()
    assert -4 < first.mean < -1, "minus a cross-entropy of ten classes"
    assert f"{sizes.sum()} choices" in lines[0]
    assert "done in" in lines[-1]
    rows = ranking(first, spec)
    assert len(rows) == len({row["hash"] for row in rows}) == spec.search_space().canonical_size
    assert [row["predicted"] for row in rows] == sorted((row["predicted"] for row in rows), reverse=True)


def test_it_trains_longer_where_a_stage_has_many_choices(make_spec) -> None:
    few = quick(make_spec({"all": ["none", "eca", "gct", "srm", "se", "simam"]}), rungs=[2, 5])
    many = quick(make_spec({"all": ["none", {"eca": {"kernel_size": [3, 5, 7, 9, 11, 13, 15]}}]}), rungs=[2, 5])
    assert [max(Networks(one.search_space()).sizes) for one in (few, many)] == [6, 8]
    assert [one_shot.epochs_of(one) for one in (few, many)] == [5, 7]  # 5 x 8 / 6, rounded up
    assert one_shot.epochs_of(many.changed(search=many.search.changed(one_shot_epochs=3))) == 3


def test_the_best_of_a_sum_are_found_without_listing_the_space(make_spec) -> None:
    spec = make_spec()
    networks, prediction = Networks(spec.search_space()), drawn(spec)
    every = best(prediction, networks, 10_000)
    assert best(prediction, networks, 7) == every[:7]
    assert all(prediction.of(networks.choices(np.array(row))) == pytest.approx(score) for row, score in every)
    scores = np.array([prediction.standardised(networks.choices(np.array(row))) for row, _ in every])
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std() == pytest.approx(1)


def test_where_every_attention_starts_as_the_identity_it_is_refused(make_spec, tmp_path) -> None:
    spec = quick(make_spec(one_shot=True), start="identity")
    with pytest.raises(InputError, match="blind where every attention starts as the identity") as caught:
        search(spec, run=tmp_path / "refused", progress=False)
    assert caught.value.where == ("proxy", "start")
    assert not (tmp_path / "refused").exists(), "nothing is spent before"


def test_a_training_of_one_s_own_is_not_the_one_that_it_would_share(make_spec) -> None:
    with pytest.raises(InputError, match="a trainer of its own"):
        one_shot.refuse(make_spec().changed(trainer="mine:Trainer"))


def test_the_recipe_of_the_proxy_is_its_own_with_all_that_it_can_hold(make_spec) -> None:
    spec = quick(
        make_spec(space={"all": ["none", "se"]}), drop_path=0.2, mixup=0.2, ema=0.9, optimizer="adamw", clip=1.0
    )
    assert math.isfinite(one_shot.predict(spec).mean)


@pytest.mark.parametrize(
    ("at", "words"), [("step.TrainingStep.loss", "training the supernet"), ("paths.PathLoss.__call__", "scoring the")]
)
def test_what_a_part_of_the_user_raises_is_one_sentence(make_spec, monkeypatch, at, words) -> None:
    def breaks(*given: object) -> None:
        raise KeyError("of my own")

    monkeypatch.setattr(f"chattn_nas.proxy.{at}", breaks)
    with pytest.raises(TrainingStopped, match=rf"{words}.* failed: KeyError: 'of my own' \(breaks, line \d+\)"):
        one_shot.predict(quick(make_spec(space={"all": ["none", "se"]})))


def test_a_batch_of_one_image_for_each_process_is_refused_where_a_norm_would_see_one_value(make_spec) -> None:
    spec = quick(make_spec(space={"all": ["none", "srm"]}), batch_size=2)
    data = tasks.load(spec.task, spec.data)
    words = "batches of one image for each of 2 processes, of which a norm sees one value per channel: take at least 4"
    with pytest.raises(InputError, match=words) as caught:
        refuse_batches_of_one(spec, data, 2)
    assert caught.value.where == ("proxy", "batch_size")


def test_a_batch_that_the_processes_cannot_share_is_refused_first(make_spec) -> None:
    one_shot.refuse(make_spec(), 2)
    with pytest.raises(InputError, match="cannot be divided among 3 processes") as caught:
        one_shot.refuse(quick(make_spec()), 3)
    assert caught.value.where == ("proxy", "batch_size")


def test_a_search_trains_it_in_its_own_process(make_spec, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as a batch system may say; the others would never come
    assert math.isfinite(one_shot.predict(quick(make_spec(space={"all": ["none", "se"]}))).mean)


def test_a_setting_that_is_left_out_leaves_the_hash_of_a_spec(make_spec) -> None:
    assert make_spec().hash == make_spec(one_shot=True, one_shot_epochs=5).hash


def test_a_search_trains_it_once_orders_the_first_trials_by_it_and_tells_how_it_agrees(make_spec, tmp_path) -> None:
    spec = quick(make_spec(sampler="pooled", one_shot=True, trials=8))
    stub = {"progress": False, "trainer": "stub_trainer:StubTrainer"}
    run = search(spec, run=tmp_path / "run", **stub)
    held = prediction_of(run.study)
    assert held is not None
    assert "agrees with real trainings is asked once 10 have ended" in in_words(run.study)
    run = search(spec, run=tmp_path / "run", trials=16, **stub)
    assert prediction_of(run.study) == held, "what was trained once is kept"
    assert "Kendall's tau with the first 10 real trainings is" in in_words(run.study)
    for form in ("html", "md"):
        assert "Shared weights" in write_report(run.directory, run.study, form).read_text()
    plain = search(spec.changed(name="plain", search=spec.search.changed(one_shot=False)), run=tmp_path / "p", **stub)
    assert in_words(plain.study) == ""
    proposed = [[one.hash for one in records(found.study) if not one.label] for found in (run, plain)]
    assert proposed[0][:3] != proposed[1][:3], "ties of the design are broken by it"


def test_of_equally_balanced_networks_the_one_it_likes_comes_first() -> None:
    types = [np.arange(3)] * 2
    rows = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    liked = rng.normal(size=9)
    taken = rows[:0]
    for _ in range(9):
        taken = np.vstack([taken, rows[most_balanced(rows, taken, types, rng, liked)]])
    assert len({tuple(row) for row in taken.tolist()}) == 9, "balanced all the same"
    assert taken[0].tolist() == rows[liked.argmax()].tolist()
    apart = [place for place, row in enumerate(rows) if (row != taken[0]).all()]
    assert taken[1].tolist() == rows[max(apart, key=lambda place: liked[place])].tolist()


def test_it_is_dropped_where_the_first_trainings_do_not_agree(make_spec) -> None:
    spec = make_spec()
    networks, prediction, rng = Networks(spec.search_space()), drawn(spec), np.random.default_rng(0)
    rows = networks.drawn(12, rng)
    scores = [prediction.of(networks.choices(row)) for row in rows]

    def seen(accuracies, foreign=0):
        found = [Observation(networks.choices(row), 0, float(a)) for row, a in zip(rows, accuracies)]
        return [Observation((("own", "own"),) * 3, 0, 50.0)] * foreign + found

    assert self_check(prediction, seen(scores, foreign=3)).tau == pytest.approx(1)
    assert trusted(prediction, seen(scores)) is prediction
    assert trusted(prediction, seen([-score for score in scores])) is None, "backwards is no agreement either"
    assert trusted(prediction, seen(scores[:9])) is prediction, "nine trainings decide nothing"
    assert trusted(prediction, seen([1.0] * 12)) is None
    assert 0.24 < LEAST < 0.26
    # The first ten decide, whatever comes later.
    assert trusted(prediction, seen([*scores[:10], -99, 99])) is prediction


def test_the_model_learns_how_much_it_is_worth(make_spec) -> None:
    """The prior of its slope is around zero: what foretells well is believed, and noise costs little."""
    spec = make_spec()
    networks, found = Networks(spec.search_space()), []
    for seed in range(4):
        truth, noise, rng = drawn(spec, seed), drawn(spec, 100 + seed), np.random.default_rng(seed)
        seen = [
            Observation(choices, 0, 90 + 0.5 * truth.standardised(choices) + 0.1 * rng.normal())
            for choices in map(networks.choices, networks.drawn(14, rng))
        ]
        unseen = [networks.choices(row) for row in networks.drawn(100, rng)]
        wanted = [truth.standardised(one) for one in unseen]
        models = [Pooled(seen, foretold=one) for one in (None, truth.standardised, noise.standardised)]
        found.append([np.corrcoef(model.predict(unseen).mean, wanted)[0, 1] for model in models])
    without, told, misled = np.mean(found, 0)
    assert told > 0.95 > without
    assert misled > without - 0.15


def test_the_command_ranks_the_space(make_spec, tmp_path, capsys) -> None:
    from chattn_nas.cli.ranking import one_shot as command

    spec, path, file = (
        quick(make_spec(space={"all": ["none", "se", "gct"]})),
        tmp_path / "spec.yaml",
        tmp_path / "r.csv",
    )
    path.write_text(json.dumps(spec.to_dict()))
    command(path, csv=file, as_json=True)
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    with file.open() as text:
        written = list(csv.DictReader(text))
    assert list(written[0]) == ["hash", "architecture", "predicted"]
    assert [row["hash"] for row in written] == [row["hash"] for row in rows]
    assert len(rows) == 27
    with pytest.raises(InputError, match="no folder"):
        command(path, csv=tmp_path / "nowhere" / "r.csv")
