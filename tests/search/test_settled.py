"""When more trials cannot change the answer."""

import optuna
import pytest

from chattn_nas.benchmark import worlds
from chattn_nas.benchmark.simulate import simulate
from chattn_nas.search.pooled.sampler import PooledSampler
from chattn_nas.search.pooled.settled import outlook
from chattn_nas.spec import SearchSettings


def searched(monkeypatch, budget: int, **drawn: float):
    """A study of a world whose effects have these standard deviations."""
    monkeypatch.setitem(
        worlds.KINDS, "drawn", worlds.Kind({"all": ["none", "se", "eca", "gct"]}, worlds._SMALL, **drawn)
    )
    world, kept = worlds.World("drawn", 3), []
    create = optuna.create_study
    monkeypatch.setattr(optuna, "create_study", lambda **options: kept.append(create(**options)) or kept[-1])
    simulate(world, PooledSampler(world.space, 0, most=3), budget=budget, seeds=(0, 1, 2))
    return kept[-1], world


def test_a_search_whose_answer_is_clear_is_settled(monkeypatch):
    study, world = searched(monkeypatch, 30, type=2.0, setting=0.01, pair=0.01, type_seed=0.02, noise=0.1)
    found = outlook(study, world.space, SearchSettings(), useful=0.5)
    assert found.settled
    assert found.trainings == 30
    assert "30 trainings" in str(found)


def test_one_whose_noise_hides_what_is_useful_is_not(monkeypatch):
    study, world = searched(monkeypatch, 14, type=0.5, setting=0.1, pair=0.1, type_seed=0.2, noise=0.8)
    assert not outlook(study, world.space, SearchSettings(), useful=0.1).settled
    assert outlook(study, world.space, SearchSettings(), useful=20.0).settled, "what nobody expects"


def test_too_little_and_several_objectives_say_nothing(monkeypatch):
    study, world = searched(monkeypatch, 5, noise=0.5)
    assert outlook(study, world.space, SearchSettings(), useful=0.3) is None
    both = SearchSettings.model_validate({"objectives": ["accuracy", "macs"]})
    assert outlook(study, world.space, both, useful=0.3) is None


@pytest.mark.parametrize("trials", [10, 11])
def test_it_looks_rarely(trials, monkeypatch):
    from chattn_nas.search.pooled import settled

    study, world = searched(monkeypatch, 10, noise=0.5)
    looks = []
    monkeypatch.setattr(settled, "outlook", lambda *given: looks.append(1))
    look = settled.EarlyEnd(world.space, SearchSettings.model_validate({"trials": trials}), 0.3)
    for _ in range(3):
        look(study)
    assert len(looks) == (trials > 10), "not when all have ended, and once for the same trials"


def test_the_search_ends_says_so_and_goes_on_when_told_to(make_spec, tmp_path, monkeypatch, capsys):
    from chattn_nas.search import search
    from chattn_nas.search.pooled import settled
    from chattn_nas.study.history import history

    def at_nine(study, space, settings, useful, reader):
        count = history(study).counted
        return settled.Outlook(count, 0.01 if count >= 9 else 0.5, useful)

    monkeypatch.setattr(settled, "outlook", at_nine)
    spec, given = make_spec(trials=14), {"run": tmp_path / "early", "trainer": "stub_trainer:StubTrainer"}
    run = search(spec, early_stop=True, **given)
    assert history(run.study).counted == 9
    assert "more trials cannot change the answer: after 9 trainings" in " ".join(capsys.readouterr().out.split())
    assert history(search(spec, early_stop=True, progress=False, **given).study).counted == 9
    assert history(search(spec, progress=False, **given).study).counted == 14
