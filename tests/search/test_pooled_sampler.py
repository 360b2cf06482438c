"""The sampler that asks the pooled model."""

import random
from collections import Counter

import numpy as np
import optuna
import pytest

from chattn_nas.benchmark.simulate import simulate
from chattn_nas.benchmark.worlds import World
from chattn_nas.network.constraints import Constraint
from chattn_nas.results.pooled import Observation, Pooled
from chattn_nas.search.pooled.acquisition import RULES, scalarised
from chattn_nas.search.pooled.design import most_balanced
from chattn_nas.search.pooled.evidence import CHOSEN, Evidence
from chattn_nas.search.pooled.networks import Costs, Networks
from chattn_nas.search.pooled.sampler import LOOKED_AT, PooledSampler, milestone
from chattn_nas.search.search_study import SearchStudy
from chattn_nas.study.record import records


def trials_of(run) -> list[tuple]:
    return [(one.hash, one.seed, one.label, one.outcome) for one in records(run.study)]


def test_a_search_that_goes_on_proposes_as_an_undisturbed_one(run_stub, tmp_path):
    space = {"sampler": "pooled", "max_seeds": 2}
    whole = run_stub(tmp_path / "whole", trials=15, **space)
    for trials in (9, 12, 15):
        parted = run_stub(tmp_path / "parted", trials=trials, **space)
    assert trials_of(whole) == trials_of(parted)
    proposed = [one for one in trials_of(whole) if not one[2]]
    assert len({one[:2] for one in proposed}) == len(proposed), "no training twice"


def test_the_first_trials_show_every_type_of_every_stage_equally_often(run_stub):
    found = records(run_stub(trials=5 + 3, sampler="pooled").study)
    for stage in range(3):
        counted = Counter(
            one.stages[stage]["type"] for one in found if one.label not in ("random_gate", "channel_scale")
        )
        assert max(counted.values()) - min(counted.values()) <= 1, counted


def test_pairs_are_balanced_once_single_types_are():
    types = [np.arange(3)] * 2
    rows = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), -1).reshape(-1, 2)
    taken, rng = rows[:0], np.random.default_rng(0)
    for _ in range(9):
        taken = np.vstack([taken, rows[most_balanced(rows, taken, types, rng)]])
    assert len({tuple(row) for row in taken.tolist()}) >= 7
    assert all((np.bincount(column) == 3).all() for column in taken.T)


def test_proposals_keep_the_constraints(run_stub):
    run = run_stub(trials=18, sampler="pooled", constraints={"parameters": "<= 1.012x", "macs": "<= 1.01x"})
    proposed = [one for one in records(run.study) if not one.label]
    assert len(proposed) > 10
    assert all(one.outcome == "complete" for one in proposed), "known formulas: nothing has to be refused"


def test_latency_is_learned_as_a_sum_over_stages(make_spec):
    networks = Networks(make_spec().search_space())
    rng = np.random.default_rng(0)
    effects = [rng.normal(0, 0.05, size) for size in networks.sizes]
    rows = networks.drawn(60, rng)
    slow = 1.2 + sum(effect[rows[:, stage]] for stage, effect in enumerate(effects))
    costs = Costs(networks, {"latency": 0.01}, dict(zip(map(tuple, rows[:40].tolist()), slow[:40].tolist())))
    assert np.corrcoef(costs.of("latency", rows[40:]), slow[40:])[0, 1] > 0.95
    kept = costs.feasible({"latency": Constraint.parse("<= 1.2x")}, rows[40:])
    assert np.mean(kept == (slow[40:] <= 1.2)) > 0.8


def test_a_known_network_comes_back_on_its_next_seeds_and_never_beyond(run_stub):
    found = records(run_stub(trials=26, sampler="pooled", max_seeds=2, pruner="none").study)
    trained = Counter(one.hash for one in found if one.trained)
    assert max(trained.values()) == 2
    assert {one.seed for one in found} == {0, 1}


def test_when_all_is_trained_the_record_answers(make_spec, run_stub, tmp_path):
    from chattn_nas.search import search

    spec = make_spec(space={"all": ["none", "gct"]}, sampler="pooled", max_seeds=1, trials=16)
    run = search(spec, run=tmp_path / "small", progress=False, trainer="stub_trainer:StubTrainer")
    found = records(run.study)
    assert len({one.hash for one in found if one.trained}) == 2**3 + 2
    assert sum(not one.trained for one in found) == 16 - 10


def test_several_objectives_are_weighed_anew_in_every_trial(run_stub):
    run = run_stub(trials=22, sampler="pooled", objectives=["accuracy", "parameters"])
    proposed = [one for one in records(run.study) if not one.label]
    costs = [one.measurement.parameters for one in proposed[3:]]
    assert len(set(costs)) > 5
    draws = np.tile([0.0, 1.0, 2.0], (4, 1))
    cost = np.array([1.0, 2.0, 30.0])
    best = Counter(int(scalarised(draws, [cost], np.random.default_rng(n))[0].argmax()) for n in range(200))
    assert len(best) >= 2, "weights walk along the front"


def _filled(world: World, sampler: PooledSampler, budget: int, seeds=(0, 1, 2)) -> SearchStudy:
    made = optuna.create_study(direction="maximize")
    study = SearchStudy(made.study_name, made._storage, sampler)
    from chattn_nas.benchmark.simulate import _attributes, _record

    rng = random.Random(0)
    for number in range(budget):
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, system_attrs={CHOSEN: {}})
        key = made._storage.create_new_trial(made._study_id, template_trial=trial)
        network = world.space.random(rng)
        record = _record(number, network, world.measurement(network, seeds[number % len(seeds)]), 0)
        given = {"architecture": network.to_dict(), "seed": record.seed}
        for name, value in (given | _attributes(record)).items():
            made._storage.set_trial_user_attr(key, name, value)
        made._storage.set_trial_state_values(key, optuna.trial.TrialState.COMPLETE, [record.score])
    return study


def test_trials_under_way_count_as_seen():
    world = World("world_deep", 1)
    sampler = PooledSampler(world.space, 0, most=1, begin=0)
    study = _filled(world, sampler, 40)
    open_trials = [study.ask() for _ in range(6)]
    proposed = [world.space.sample(trial).canonical(world.space.stages).hash for trial in open_trials]
    assert len(set(proposed)) == 6, "each network may be trained once"


def test_a_huge_space_is_searched_where_draws_lead():
    gained = []
    for number in range(2):
        world = World("world_deep", number)
        found = simulate(world, PooledSampler(world.space, 0, most=2), budget=30, seeds=(0, 1))
        rng = random.Random(number)
        blind = np.mean([world.worth(world.space.random(rng)) for _ in range(100)])
        gained.append(np.mean([world.values[one.hash] for one in found[-10:]]) - blind)
    assert np.mean(gained) > 0.4, "of 1.7 million networks, whose worth has a standard deviation of 0.6"


def test_standard_deviations_are_learned_anew_ever_more_rarely(monkeypatch):
    from chattn_nas.search.pooled import sampler as module

    fits = []
    monkeypatch.setattr(module, "fitted", lambda seen, foretold: fits.append(len(seen)))
    world = World("world_interactions", 0)
    simulate(world, PooledSampler(world.space, 0, most=3, begin=0), budget=40, seeds=(0, 1, 2), baselines=False)
    assert fits == sorted(set(fits))
    assert 8 < len(fits) < 18
    assert all(count / 1.25 - 1 <= milestone(count) <= count for count in range(4, 200))
    assert milestone(10_000) == milestone(LOOKED_AT) <= LOOKED_AT


def test_no_proposal_learns_standard_deviations_again_once_they_are_known_well(make_spec, monkeypatch):
    """It takes several times as long as a proposal, and what is looked at by then was chosen for its promise."""
    sampler, rng = PooledSampler(make_spec().search_space(), 0, most=50), np.random.default_rng(0)
    rows = [sampler.networks.choices(row) for row in sampler.networks.drawn(1000, rng)]
    seen = [Observation(one, number % 4, float(90 + rng.normal())) for number, one in enumerate(rows)]
    first = sampler._model(Evidence(seen=seen[:450]), None)
    monkeypatch.setattr("chattn_nas.search.pooled.sampler.fitted", lambda *_: pytest.fail("learned again"))
    monkeypatch.setattr(Pooled, "_integrate", lambda self: pytest.fail("learned again"))
    later = sampler._model(Evidence(seen=seen), None)
    assert later.deviations == first.deviations
    assert len(later.seen) == LOOKED_AT


@pytest.mark.parametrize("name", RULES)
def test_every_rule_takes_what_is_clearly_best(name):
    rng = np.random.default_rng(0)
    draws = rng.normal([0.0, 0.0, 5.0, 0.0], 0.1, (256, 4))
    if name == "gradient":  # the best is known: what is uncertain is worth a training
        draws[:, 1] = rng.normal(4.9, 1.0, 256)
        assert RULES[name](draws, 0.5, rng) == 1
    else:
        assert RULES[name](draws, 0.5, rng) == 2


def test_what_ended_since_the_last_milestone_counts_however_many_are_known(make_spec, monkeypatch):
    """More trainings than the model looks at: it is brought up to date all the same."""
    monkeypatch.setattr("chattn_nas.search.pooled.sampler.LOOKED_AT", 12)
    sampler, rng = PooledSampler(make_spec().search_space(), 0, most=3), np.random.default_rng(0)
    rows = [sampler.networks.choices(row) for row in sampler.networks.drawn(30, rng)]
    seen = [Observation(one, 0, float(90 + rng.normal())) for one in rows]
    late = Observation(rows[0], 1, 99.0, keep=True)
    assert milestone(30) < 30
    before, after = (sampler._model(Evidence(seen=known), None) for known in (seen[:27], [*seen[:29], late]))
    assert late in after.seen
    assert after.predict([rows[0]]).mean > before.predict([rows[0]]).mean + 0.1


def test_no_network_that_failed_is_proposed_again(run_stub, monkeypatch):
    monkeypatch.setenv("STUB_FAULTS", '{"eca | eca | none": "crash"}')
    found = records(run_stub(trials=16, sampler="pooled").study)
    failed = Counter(one.hash for one in found if one.outcome == "crashed")
    assert all(count == 1 for count in failed.values())
