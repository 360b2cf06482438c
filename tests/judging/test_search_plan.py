"""The plan of a search: timed on real steps, told in a few lines, wiser where something should be."""

import itertools
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from chattn_nas.data.enough import as_many_as
from chattn_nas.errors import InputError
from chattn_nas.judging import advice, plan_search
from chattn_nas.judging.advice import fewer_workers, more_workers
from chattn_nas.judging.search_plan import BESIDE, ENDING, STARTUP, _reached
from chattn_nas.search import devices
from chattn_nas.search import pace as pace_module
from chattn_nas.search.pace import Pace, others_at_work
from chattn_nas.spec import Spec
from chattn_nas.unit import Unit

SPEC = {
    "name": "tiny",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 200},
    "space": {"all": ["none", "se", "eca"]},
    "proxy": {"rungs": [1, 3], "device": "cpu", "batch_size": 64},
    "search": {"trials": 12, "workers": 2, "devices": ["cpu"]},
}


def test_a_plan_says_what_a_search_takes_and_what_would_be_wiser() -> None:
    found = plan_search(Spec.from_dict(SPEC), seconds=0.5)
    assert found.paces[0].network == "no attention"
    assert len(found.paces) >= 2
    assert found.paces[0].steps == 3
    assert all(pace.step > 0 and pace.evaluation > 0 and pace.build > 0 for pace in found.paces)
    assert found.low < found.search < found.high
    assert 0 < found.saved < 0.67
    assert found.workers == 2
    text = "\n".join(found.words)
    assert "one full trial about" in text
    assert "12 trials, 5 of them baselines, on 2 workers" in text
    assert "validation images is" in text
    assert "a full trial makes only 9 updates" in text
    assert found.trials_within(found.search) == pytest.approx(12, abs=1)
    within = found.words_within(found.search)
    assert len(within) == 1
    assert within[0].startswith(f"about {found.trials_within(found.search)} trials in ")
    assert found.words_within(1.0)[0] == "about 0 trials in 1 s"
    assert found.words_within(1.0)[1].startswith("beware, that is hardly time for the 5 baselines")
    assert found.to_dict()["words"] == found.words
    decibels = Unit(name="psnr", title="PSNR", unit="dB", difference="dB", scale=1.0)
    assert "points" not in " ".join(replace(found, unit=decibels).words)


def test_a_mean_over_classes_is_no_surer_than_its_smallest_class() -> None:
    assert as_many_as(np.repeat([0, 1], [6, 2]), "balanced_accuracy") == pytest.approx(6)
    assert as_many_as(np.repeat([0, 1], [6, 2]), None) == 8
    balanced = SPEC | {"data": SPEC["data"] | {"metric": "balanced_accuracy"}}
    found = plan_search(Spec.from_dict(balanced), seconds=0.1)
    assert found.image is None
    assert found.noise > 1, "few validation images scatter more than a training does"
    assert any("validation images is" in one for one in found.wiser)


def test_a_pace_adds_up() -> None:
    pace = Pace(network="x", build=1.0, step=0.1, evaluation=0.5, steps=10, memory=0)
    assert pace.seconds([2, 6]) == pytest.approx(1 + 6 + 1)
    assert pace.seconds([2, 6], reached=1) == pytest.approx(1 + 2 + 0.5)


def test_halving_lets_baselines_and_about_a_third_pass() -> None:
    ends = np.array(_reached(200, 5, 2, 3, 0.0, repeats=10))
    assert (ends[:, :5] == 2).all()
    assert 0.3 < (ends[:, 5:] == 2).mean() < 0.45


def test_what_a_search_refuses_a_plan_refuses() -> None:
    with pytest.raises(InputError, match="no device") as caught:
        plan_search(Spec.from_dict(SPEC | {"search": {"devices": ["cuda:7"]}}))
    assert caught.value.where == ("search", "devices", 0)


def test_a_loss_that_fails_in_a_later_step_is_one_sentence(monkeypatch) -> None:
    calls = itertools.count(1)

    def fourth(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if next(calls) == 4:
            raise KeyError("of my own")
        return torch.nn.functional.cross_entropy(output, targets)

    monkeypatch.setitem(sys.modules, "own_loss", SimpleNamespace(fourth=fourth))
    spec = SPEC | {"proxy": SPEC["proxy"] | {"loss": "own_loss:fourth"}}
    with pytest.raises(InputError, match=r"no attention cannot be trained: KeyError: 'of my own' \(fourth, line \d+\)"):
        plan_search(Spec.from_dict(spec), seconds=0.5)


def test_of_a_few_trials_the_first_baselines_are_counted_not_the_dearest_type(monkeypatch) -> None:
    """Sixteen trials of forty types were planned a third too long: the dear types never came to be trained."""

    def timed(trainer, architecture, name, seconds=1.0):
        step = {"no attention": 0.1, "uniform se": 0.1, "uniform eca": 0.1}.get(name, 10.0)
        return Pace(network=name, build=0.0, step=step, evaluation=0.0, steps=1, memory=0)

    monkeypatch.setattr("chattn_nas.judging.search_plan.pace", timed)
    types = ["none", "se", "eca", "soca", {"bam": {"reduction": [16]}}]
    search = {"trials": 3, "workers": 1, "devices": ["cpu"], "constraints": {"parameters": "<= 4x"}}
    few = plan_search(Spec.from_dict(SPEC | {"space": {"all": types}, "search": search}), seconds=1e9)
    assert [pace.network for pace in few.paces[:2]] == ["no attention", "uniform soca"], "the dearest, for the memory"
    assert few.search - STARTUP - ENDING == pytest.approx(3 * (3 * 0.1 + BESIDE))
    assert few.baselines == 3
    many = plan_search(Spec.from_dict(SPEC | {"space": {"all": types}, "search": search | {"trials": 30}}), seconds=1e9)
    assert many.search - STARTUP - ENDING > 30


@pytest.mark.parametrize(
    ("trials", "slower", "said"), [(24, 1.2, "search.workers: 2 trains"), (24, 1.9, ""), (8, 1.2, "")]
)
def test_several_workers_are_proposed_where_they_get_through_more(trials, slower, said, monkeypatch) -> None:
    """A step on one thread that takes 1.2 times as long as on two: two workers do 1.67 times as many."""

    def timed(trainer, architecture, name, seconds=1.0):
        step = 1.0 if torch.get_num_threads() == 2 else slower
        return Pace(network=name, build=0.0, step=step, evaluation=0.0, steps=1, memory=1)

    monkeypatch.setattr("chattn_nas.judging.search_plan.pace", timed)
    monkeypatch.setattr("chattn_nas.judging.advice.pace", timed)
    monkeypatch.setattr("chattn_nas.search.devices.cpus", lambda: 2)
    before = torch.get_num_threads()
    plan = plan_search(Spec.from_dict(SPEC | {"search": {"trials": trials}}), seconds=0.0)
    assert torch.get_num_threads() == before
    lines = [line for line in plan.wiser if line.startswith("search.workers")]
    assert [line.startswith(said) for line in lines] == [True] * bool(said)
    assert all("about 1.7 times" in line for line in lines)


def test_other_workers_are_as_many_as_a_machine_bears_and_the_rest_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = subprocess.Popen

    def start(*given: Any, **options: Any) -> Any:
        started.append(popen(*given, **options))
        return started[-1]

    monkeypatch.setattr(pace_module, "cpu_count", lambda: 1)
    monkeypatch.setattr(pace_module.subprocess, "Popen", start)
    with others_at_work(3, 1) as slower:
        assert slower == 1
        assert len(started) == 3
    with others_at_work(99, 1) as slower:
        assert slower == 100 / 5
    assert len(started) == 3 + 4
    assert all(one.poll() is not None for one in started)
    fast = Pace(network="x", build=1.0, step=0.1, evaluation=0.5, steps=10, memory=7)
    assert fast.times(20).seconds([2, 6]) == pytest.approx(20 * fast.seconds([2, 6]))


def test_what_keeps_cores_busy_ends_with_a_plan_that_is_killed() -> None:
    code = (
        "import time; from chattn_nas.search.pace import others_at_work\n"
        "with others_at_work(1, 1): print('begun', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as plan:
        assert plan.stdout is not None
        assert plan.stdout.readline() == "begun\n"
        (other,) = psutil.Process(plan.pid).children()
        plan.kill()
    other.wait(timeout=30)


def test_more_workers_than_threads_or_memory_are_advised_against_and_what_cannot_start_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advice, "cpus", lambda: 2)
    assert fewer_workers(2, 2**30) == []
    (said,) = fewer_workers(8, 2**20)
    assert said.startswith("search.workers: 2 gets through as many trials: 8 share 2 threads; those")
    (said,) = fewer_workers(8, psutil.virtual_memory().total)
    assert said.startswith("search.workers: 1 ")
    assert " GiB" in said
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(total=24 * 2**30))
    many = SPEC | {"search": SPEC["search"] | {"workers": 65}}
    with pytest.raises(InputError, match=r"65 workers do not fit into the 24 GiB .* so 64 are the most") as caught:
        plan_search(Spec.from_dict(many))
    assert caught.value.where == ("search", "workers")


@pytest.mark.parametrize(
    ("step", "said"), [(0.1, None), (0.04, "about 2.5 times"), (0.005, "while other programs use")]
)
def test_a_gain_beyond_what_threads_can_give_is_the_machine_s(
    monkeypatch: pytest.MonkeyPatch, step: float, said: str | None
) -> None:
    alone = Pace(network="x", build=1.0, step=0.05, evaluation=0.5, steps=10, memory=1)
    monkeypatch.setattr(advice, "pace", lambda *given: replace(alone, step=step))
    monkeypatch.setattr(advice, "others_at_work", lambda *given: nullcontext(1.0))
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    found = more_workers(None, None, alone, threads=2, trials=24)
    assert [said in line for line in found] == ([] if said is None else [True])
