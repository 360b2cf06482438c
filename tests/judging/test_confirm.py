import json
import re
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from chattn_nas import Run
from chattn_nas.errors import DataError, InputError, RunError
from chattn_nas.judging._confirm import FRESH, _look, confirm, confirm_plan
from chattn_nas.judging._confirmation import Confirmation, Network, alpha_of, confirmation, judge
from chattn_nas.judging.planning import plan_rows, uniform_networks
from chattn_nas.judging.test_set import read_test_set
from chattn_nas.report import html, markdown
from chattn_nas.report.facts import gather
from chattn_nas.results import Standing, words
from chattn_nas.search import search
from chattn_nas.search.progress import line
from chattn_nas.search.session import enqueue_trainings, quiet_optuna
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.record import records
from chattn_nas.study.run import CONFIRM
from chattn_nas.study.short import in_short
from chattn_nas.unit import Unit

SPEC = {
    "name": "tiny",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", {"se": {"reduction": [2, 4]}}, "eca"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {"trials": 6, "workers": 0, "sampler": "random", "seed": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return search(Spec.from_dict(SPEC), run=tmp_path_factory.mktemp("run") / "tiny", progress=False)


@pytest.fixture(scope="module")
def confirmed(run) -> Confirmation:
    return confirm(run, top=2, seeds=2, epochs=2, workers=0, progress=False)


def test_what_is_confirmed(run, confirmed):
    roles = {role for one in confirmed.networks for role in one.roles}
    assert roles == {"candidate", "uniform", "none", "channel_scale", "control"}
    assert sum("candidate" in one.roles for one in confirmed.networks) == 2
    for one in confirmed.networks:
        assert set(one.scores) == {1 + FRESH, 2 + FRESH}, "all on the same seeds, none of them the search's"
    searched = {trial.user_attrs.get("seed") for trial in run.study.trials}
    assert not searched & {1 + FRESH, 2 + FRESH}


def test_it_is_stored_and_the_report_says_so(run, confirmed):
    assert confirmation(run.study) == confirmed
    json.dumps(confirmed.to_dict(), allow_nan=True)
    page = html(run.study)
    assert '<p class="status confirmed">' in page
    assert "Retrained" in markdown(run.study)
    assert in_short(confirmed.network(confirmed.winner).name) in re.sub("<[^>]+>", "", page)


def test_a_network_has_the_same_name_in_the_search_and_in_its_confirmation(run, confirmed):
    """``se(reduction=8)`` was ``se`` in the confirmation's lines, and in its tables named every setting it has."""
    retrained = records(RunDirectory(run.directory / CONFIRM).study)
    names = {record.hash: record.short_name for record in records(run.study)}
    assert {names[record.hash] for record in retrained if record.hash in names} >= {"none", "random_gate"}
    assert all(record.short_name == names.get(record.hash, record.short_name) for record in retrained)
    trained = next(record for record in retrained if "se" in {stage["type"] for stage in record.stages})
    assert "reduction=" in trained.description
    assert "bias" not in trained.description
    assert trained.short_name in line(trained)
    assert {in_short(one.name) for one in confirmed.networks} & {record.short_name for record in retrained}


def test_what_is_taken_home_is_what_was_confirmed_first(run, confirmed):
    """``train`` and ``export`` took the search's best, and the report above them spoke of another network."""
    other = next(one for one in confirmed.networks if "candidate" in one.roles and one.hash != confirmed.winner)
    opened = Run(run.directory)
    assert opened.chosen().pick.hash == confirmed.winner
    told = str(opened.chosen())
    assert told.endswith(f", retrained: {confirmed.figures(confirmed.winner)['validation accuracy']}")
    assert "confirmed" not in told, "the search's figure, which stands before, is none that was confirmed"
    try:
        run.study.set_user_attr("confirmation", replace(confirmed, winner=other.hash).to_dict())
        assert Run(run.directory).chosen().pick.hash == other.hash == gather(run.study).lead.hash
        assert Run(run.directory).chosen(by="pooled").pick.hash == Standing(run.study).best().hash
    finally:
        run.study.set_user_attr("confirmation", confirmed.to_dict())


def test_the_test_set_is_read_once_for_two_networks(run, confirmed, monkeypatch):
    assert set(confirmed.test) == {confirmed.winner, confirmed.rival}
    for values in confirmed.test.values():
        assert all(0 <= value <= 1 for value in values.values())
        assert len(values) == 2

    def forbidden(*args, **kwargs):
        raise AssertionError("the test set was read again")

    monkeypatch.setattr("chattn_nas.judging.test_set.load_test", forbidden)
    again = confirm(run, top=2, seeds=2, epochs=2, workers=0, progress=False)
    assert again == confirmed


def test_a_partial_reading_of_the_test_set_is_never_kept(run, confirmed, monkeypatch):
    """An empty or partial reading was kept for ever, and the next winner got the old one's score."""
    kept = run.study.user_attrs["test_set"]
    assert kept["images"] == confirmed.test_images > 0
    assert set(kept["networks"]) == {confirmed.winner, confirmed.rival}
    opened = RunDirectory(run.directory / "confirm")
    others = replace(confirmed, winner=next(one.hash for one in confirmed.networks if one.hash not in kept["scores"]))
    assert read_test_set(run, opened, others)[0] == {}, "the score of one network is no other's"
    monkeypatch.setattr(RunDirectory, "checkpoint", lambda self, key, seed: None)
    run.study.set_user_attr("test_set", {})
    try:
        with pytest.raises(RunError, match="the test set was not read"):
            read_test_set(run, opened, confirmed)
        assert run.study.user_attrs["test_set"] == {}
    finally:
        run.study.set_user_attr("test_set", kept)


def test_what_it_takes_is_said_before_anything_is_trained(run, confirmed):
    plan = confirm_plan(run, top=2, seeds=5, epochs=2)
    assert {role for row in plan.networks for role in row["roles"]} >= {"candidate", "uniform", "none"}
    assert plan.needed >= 2
    assert f"80 % takes about {plan.needed:,} seed" in plan.words
    assert "80 % takes more than 10,000 seeds" in replace(plan, needed=10_000).words
    assert plan.seconds > 0
    assert "To show a true difference of 0.3 points" in plan.words
    assert plan.noise_from == "measured"


def test_an_unreadable_test_set_is_found_before_the_first_training(run, monkeypatch):
    def missing(settings):
        raise DataError("the test part cannot be read")

    monkeypatch.setattr("chattn_nas.judging._confirm.has_test", missing)
    monkeypatch.setattr("chattn_nas.judging.given.search", lambda *args, **kwargs: pytest.fail("it was trained"))
    with pytest.raises(DataError):
        confirm(run, top=2, seeds=2, epochs=2, workers=0, progress=False)


def test_every_uniform_setting_may_be_the_rival(run):
    """The rival was the best among types at their default settings, against mixed networks tuned by the search."""
    names = {str(network) for network in uniform_networks(run.spec.search_space())}
    assert len(names) == 3, "se with two reductions, eca"


def test_plan_verdict_and_report_have_one_number_for_one_network(run, confirmed):
    """A search that goes on changes what it says of a network; the plan of an earlier confirmation kept the old."""
    standing = Standing(run.study)
    best = standing.best()
    stale = {"hash": best.hash, "name": "x", "label": "", "roles": ["candidate"], "search": 1.0, "search_pooled": 2.0,
             "search_seeds": 9, "architecture": {}}  # fmt: skip
    row = next(row for row in plan_rows(run, standing, [stale], 1) if row["hash"] == best.hash)
    assert (row["search"], row["search_pooled"], row["search_seeds"]) == (best.mean, best.pooled, len(best.seeds))
    old = replace(confirmed, networks=tuple(replace(one, search=1.0, search_pooled=2.0) for one in confirmed.networks))
    shown = {one.hash: one for one in old.beside(standing).networks}
    assert words.searched(None, None) == words.NOT_THERE, "never trained, as a uniform rival may be"
    for pick in standing.picks:
        if pick.hash in shown:
            assert (shown[pick.hash].search, shown[pick.hash].search_pooled) == (pick.mean, pick.pooled)


def test_what_diverged_is_not_trained_until_it_goes_well():
    study = optuna.create_study()
    given = [({"backbone": {}, "stages": []}, "h", seed, "") for seed in (0, 1, 2)]
    for seed, outcome in ((0, "complete"), (1, "diverged"), (2, "crashed")):
        state = TrialState.COMPLETE if outcome == "complete" else TrialState.FAIL
        attributes = {"hash": "h", "seed": seed, "outcome": outcome}
        study.add_trial(create_trial(state=state, value=0.5 if outcome == "complete" else None, user_attrs=attributes))
    enqueue_trainings(study, given)
    waiting = [trial.user_attrs["seed"] for trial in study.trials if trial.state is TrialState.WAITING]
    assert waiting == [2], "a crash says nothing of the network"


def test_longer_trainings_of_the_same_seeds_are_another_look():
    study = optuna.create_study()
    networks = [network("a", "candidate", [91, 92]), network("none", "none", [90, 91])]
    assert [_look(study, networks, epochs) for epochs in (4, 4, 8)] == [1, 1, 2]
    other = [replace(networks[0], scores={0: 91.0, 1: 93.0}), networks[1]]
    assert _look(study, other, 8) == 3
    assert _look(study, networks, 4) == 1, "what was judged before is no new look"


def test_other_claims_on_the_same_trainings_are_another_look():
    """After a longer search `none` was a candidate, and met two more rivals at no cost."""
    study = optuna.create_study()
    networks = [
        network("a", "candidate", [91, 92]),
        network("u", "uniform", [91, 91]),
        network("none", "none", [90, 91]),
    ]
    assert _look(study, networks, 4) == 1
    assert _look(study, [*networks[:2], replace(networks[2], roles=("none", "candidate"))], 4) == 2
    same = [networks[0], replace(networks[1], roles=("uniform", "candidate")), networks[2]]
    assert _look(study, same, 4) == 1, "the best uniform network is compared with the same as before"
    assert _look(study, networks, 4) == 1


def test_what_is_left_out_of_the_judgement_is_no_other_look():
    """A sixth seed on which one training crashed spent another look on the same five, and took a verdict back."""
    study = optuna.create_study()
    networks = [network("a", "candidate", [91, 92, 93]), network("none", "none", [90, 91, 92])]
    assert _look(study, networks, 4) == 1
    more = replace(networks[0], scores={**networks[0].scores, 3: 94.0})
    assert _look(study, [more, replace(networks[1], failures={3: "crashed"})], 4) == 1
    never = replace(network("b", "candidate", []), failures={0: "did not fit into memory"})
    assert _look(study, [never, *networks], 4) == 1
    assert _look(study, [more, replace(networks[1], scores={**networks[1].scores, 3: 93.0})], 4) == 2


def test_a_look_of_version_0_1_is_known_again_and_counts_once():
    """It kept networks and seeds, and no scores."""
    study = optuna.create_study()
    networks = [network("a", "candidate", [91, 92]), network("none", "none", [90, 91])]
    study.set_user_attr("confirmation_looks", ['[["a", [0, 1]], ["none", [0, 1]]]'])
    assert _look(study, networks, 4) == 1
    more = [replace(one, scores={**one.scores, 2: 93.0}) for one in networks]
    assert _look(study, [more[0], networks[1]], 4) == 1, "left out"
    assert _look(study, more, 4) == 2


def test_more_seeds_only_add_and_are_another_look(run, confirmed):
    more = confirm(run, top=2, seeds=3, epochs=2, workers=0, progress=False)
    for one in more.networks:
        before = confirmed.network(one.hash).scores
        assert len(one.scores) == 3
        assert {seed: one.scores[seed] for seed in before} == before
    assert (confirmed.look, more.look) == (1, 2)
    assert "look number 2" in more.words


def test_another_length_is_refused(run, confirmed):
    over = r"remove .*confirm and its study \(optuna delete-study --storage sqlite:///.* --study-name .*-confirm"
    with pytest.raises(RunError, match=f"confirmed with 2 epochs, .* say .*, or start over: {over}"):
        confirm(run, epochs=3, workers=0)


def test_senseless_requests_are_refused(run):
    with pytest.raises(InputError, match="seeds must be at least 2"):
        confirm(run, seeds=1)
    with pytest.raises(InputError, match="top must be at least 1"):
        confirm(run, top=0)


def network(name: str, role: str, values) -> Network:
    return Network(
        hash=name, name=name, roles=(role,), search=95.0, search_pooled=94.0, search_seeds=1,
        scores=dict(enumerate(map(float, values))),
    )  # fmt: skip


def simulated(rng: np.random.Generator, lifts: dict[str, float], seeds: int = 5) -> Confirmation:
    block = rng.normal(0, 0.5, seeds)
    roles = {"uniform": "uniform", "none": "none", "control": "control"}
    return judge(
        [
            network(name, roles.get(name, "candidate"), 90 + lift + block + rng.normal(0, 0.6, seeds))
            for name, lift in lifts.items()
        ],
        epochs=10,
    )


def test_without_true_differences_a_verdict_of_better_is_rare():
    rng = np.random.default_rng(3)
    lifts = {"a": 0.0, "b": 0.0, "c": 0.0, "uniform": 0.0, "none": 0.0, "control": 0.0}
    said = [simulated(rng, lifts).judgement for _ in range(200)]
    assert sum(one is not None and one.judgement == "better" for one in said) / 200 <= 0.05


def test_a_large_true_difference_is_found_and_said():
    found = simulated(np.random.default_rng(3), {"a": 4.0, "b": 0.0, "uniform": 0.0, "none": -1.0, "control": 0.0})
    assert found.winner == "a"
    assert found.rival == "uniform"
    assert found.judgement is not None
    assert found.judgement.judgement == "better"
    assert found.headline == f"a is better than uniform by about {found.judgement.size:.2f} points"
    assert "where the search had said 94.00 % (pooled mean; raw mean 95.00 %)" in found.words
    assert "There is no test set: this rests on the validation images" in found.words
    table = found.table().set_index("network")
    assert table.loc["a", "vs_uniform"] == pytest.approx(found.judgement.mean)
    assert table.loc["none", "vs_uniform"] is None or np.isnan(table.loc["none", "vs_uniform"])
    assert found.network("control").none is not None, "what a random gate is worth is shown"


def test_only_seeds_that_both_have_are_compared():
    a = network("a", "candidate", [91, 92, 93, 94])
    u = Network(**{**network("uniform", "uniform", []).__dict__, "scores": {1: 90.0, 3: 91.0, 9: 99.0}})
    found = judge([a, u], epochs=3)
    assert found.judgement is not None
    assert found.judgement.seeds == 2
    assert "of 3 epochs each" in found.words
    assert "of 1 epoch each" in judge([a, u], epochs=1).words
    assert found.judgement.mean == pytest.approx(((92 - 90) + (94 - 91)) / 2)


def test_a_uniform_winner_is_judged_against_none():
    rng = np.random.default_rng(0)
    block = rng.normal(0, 0.5, 5)
    both = Network(**{**network("uniform", "uniform", 92 + block).__dict__, "roles": ("candidate", "uniform")})
    found = judge([both, network("none", "none", 90 + block + rng.normal(0, 0.1, 5))], epochs=3)
    assert found.rival == "none"
    assert found.judgement is not None
    assert found.judgement.judgement == "better"


def test_a_training_that_diverged_counts_and_is_told():
    """Two good seeds of five won: failed seeds were dropped, and networks ranked over different ones."""
    rng = np.random.default_rng(0)
    lucky = network("lucky", "candidate", 95 + rng.normal(0, 0.1, 5))
    accuracies = dict(lucky.scores) | {0: 10.0, 1: 10.0, 2: 10.0}
    lucky = replace(lucky, scores=accuracies, failures=dict.fromkeys((0, 1, 2), "diverged"))
    steady = network("steady", "candidate", 92 + rng.normal(0, 0.1, 5))
    found = judge([lucky, steady, network("none", "none", 91 + rng.normal(0, 0.1, 5))], epochs=3)
    assert found.winner == "steady"
    assert "Of lucky, 3 trainings diverged." in found.words


def test_networks_are_ranked_over_seeds_that_all_have():
    few = replace(network("few", "candidate", []), scores={3: 93.0, 4: 94.0}, failures={0: "crashed"})
    found = judge(
        [few, network("all", "candidate", [80, 80, 80, 93.5, 94.5]), network("none", "none", [90] * 5)], epochs=3
    )
    assert found.winner == "all"
    assert all(set(one.scores) == {3, 4} for one in found.networks)
    assert "Not every network was trained on 3 seeds: left out." in found.words
    assert Confirmation.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_candidate_that_hardly_ended_takes_no_baseline_away():
    """Of networks that share too few seeds the baselines went first, until the winner stood alone."""
    rng = np.random.default_rng(2)
    hardly = replace(network("hardly", "candidate", []), scores={0: 99.0}, failures=dict.fromkeys((1, 2), "crashed"))
    others = [network(name, role, 90 + rng.normal(0, 0.3, 5)) for name, role in
              (("a", "candidate"), ("uniform", "uniform"), ("none", "none"), ("control", "control"))]  # fmt: skip
    found = judge([hardly, *others], epochs=3)
    assert found.winner == "a"
    assert found.network("a").uniform is not None
    assert found.network("a").none is not None
    assert "hardly ended on 1 seed alone, too few that others share: it is not compared." in found.words
    assert "left out" not in found.words


def test_decibels_are_told_in_decibels():
    unit = Unit(name="psnr", title="PSNR", unit="dB", difference="dB", scale=1.0)
    rng = np.random.default_rng(0)
    networks = [
        network(name, role, level + rng.normal(0, 0.02, 5))
        for name, role, level in (("a", "candidate", 29.6), ("u", "uniform", 29.3), ("none", "none", 28.9))
    ]
    networks[1] = replace(networks[1], failures={0: "diverged"})
    found = judge(networks, epochs=3, unit=unit.to_dict())
    told = " ".join([found.headline, found.words, *found.figures("a"), *found.figures("a").values()])
    assert "a is better than u by about 0.30 dB" in found.headline
    assert "points" not in told
    assert "accuracy" not in told
    assert re.findall(r"\S+ %", told.replace("96.2 % interval", "")) == []


def test_looking_again_and_again_claims_no_more_than_once():
    """More seeds until something is shown: 20 % false claims after 20 looks."""
    rng = np.random.default_rng(8)
    wrong, looks = 0, 12
    for _ in range(40):
        runs = 90 + rng.normal(0, 0.6, (3, 5 + looks))
        for look in range(1, looks + 1):
            seeds = slice(0, 4 + look)
            found = judge(
                [network(name, role, row[seeds]) for name, role, row in
                 zip(("a", "uniform", "none"), ("candidate", "uniform", "none"), runs, strict=True)],
                epochs=3, look=look,
            )  # fmt: skip
            if found.network("a").uniform.judgement == "better":
                wrong += 1
                break
    assert wrong / 40 <= 0.1
    assert sum(alpha_of(look) for look in range(1, 10_000)) <= 0.05


def test_nothing_trained_twice_cannot_be_judged():
    with pytest.raises(RunError, match="two seeds"):
        judge([network("a", "candidate", [91.0])], epochs=3)


def test_an_empty_run_cannot_be_confirmed(tmp_path):
    quiet_optuna()
    empty = RunDirectory.create(Spec.from_dict(SPEC), tmp_path / "tiny")
    assert Standing(empty.study).picks == []
    with pytest.raises(RunError, match="no best"):
        confirm(empty)
