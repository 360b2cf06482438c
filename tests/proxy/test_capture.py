"""The step as a GPU would run it: recorded once and replayed. A CPU cannot record, so a stand-in does."""

import importlib
import logging

import pytest
import torch

from chattn_nas.proxy import ProxySettings, evaluate, train
from chattn_nas.proxy import train as proxy_train
from chattn_nas.proxy.capture import WARM_UP, Replayed, cuda_graphs
from chattn_nas.proxy.epochs import epochs_of
from chattn_nas.proxy.packed import train_packed
from chattn_nas.proxy.resident import Resident
from chattn_nas.proxy.schedule import factors
from chattn_nas.testing.reads import reads_back


@pytest.fixture
def capture_with(monkeypatch):
    """Trainings capture with a stand-in."""
    module = importlib.import_module(proxy_train.__module__)
    return lambda capture: monkeypatch.setattr(module, "cuda_graphs", lambda *_: capture)


def test_a_cpu_captures_nothing() -> None:
    assert cuda_graphs(torch.device("cpu")) is None


def test_work_is_warmed_up_captured_once_and_replayed() -> None:
    done = []

    def capture(work):
        done.append("captured")
        return lambda: done.append("replayed")

    replayed = Replayed(lambda: done.append("eager"), capture)
    for _ in range(WARM_UP + 2):
        replayed()
    assert done == ["eager"] * WARM_UP + ["captured", "replayed", "replayed"]


def test_a_step_that_cannot_be_captured_runs_eagerly_and_says_why(data, build, settings, capture_with, caplog) -> None:
    expected = train(build(), data, settings, seed=1)
    tried = []

    def failing(work):
        tried.append(work)
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be ...")

    capture_with(failing)
    with caplog.at_level(logging.WARNING):
        found = train(build(), data, settings, seed=1)
    assert found.rungs == expected.rungs
    assert len(tried) == 2, "the step and the evaluation, each once in a whole training"
    assert "RuntimeError: operation not permitted when stream is capturing" in caplog.text
    assert "might be" not in caplog.text


def test_a_step_reads_and_writes_only_tensors_that_stay_where_they_are(data, build, settings, capture_with) -> None:
    """What makes a graph valid: between two replays nothing but the contents of known tensors has changed."""
    expected = train(build(), data, settings, seed=1)
    replays = []

    def recording(work):
        resident = getattr(work, "__self__", None)
        if not isinstance(resident, Resident):
            return work
        tensors = [resident.order, resident.factors, resident.number, resident.loss_sum, resident.images.images]
        tensors += [rate for rate, _ in resident.rates.pairs]
        optimizer = resident.step.optimizer
        tensors += [p for group in optimizer.param_groups for p in group["params"]]
        tensors += [state["momentum_buffer"] for state in optimizer.state.values()]
        tensors += resident.step.network.buffers()
        held = [tensor.data_ptr() for tensor in tensors]

        def replay():
            work()
            replays.append([tensor.data_ptr() for tensor in tensors] == held)
            assert [group["lr"].data_ptr() for group in optimizer.param_groups] == [
                rate.data_ptr() for rate, _ in resident.rates.pairs
            ]

        return replay

    capture_with(recording)
    found = train(build(), data, settings, seed=1)
    assert found.rungs == expected.rungs
    assert found.train_loss_sum == expected.train_loss_sum
    assert replays == [True] * (2 * (len(data.train) // 64) - WARM_UP)


def test_evaluation_takes_the_last_smaller_batch(data, build) -> None:
    network = build().eval()
    network(torch.zeros(1, 1, 8, 8))
    scores = [
        evaluate(network, data.validation, data, batch_size=size, device=torch.device("cpu"))
        for size in (len(data.validation), 64, 7, 10_000)
    ]
    assert len({accuracy for accuracy, _ in scores}) == 1
    for _, loss in scores:
        assert loss == pytest.approx(scores[0][1], rel=1e-5)


@pytest.mark.parametrize(
    "recipe",
    [
        *({"optimizer": name} for name in ("sgd", "adam", "adamw", "lion")),
        {"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0, "loss": "bce"},
        {"ema": 0.99, "clip": 1.0, "label_smoothing": 0.1},
    ],
    ids=lambda recipe: ",".join(map(str, recipe.values())),
)  # fmt: skip
def test_a_step_reads_nothing_back(data, build, recipe) -> None:
    settings = ProxySettings(rungs=[1], batch_size=64, **recipe)
    epochs = epochs_of(build().train(), data, settings, torch.Generator().manual_seed(0))
    epochs.begin(factors(settings, epochs.steps))
    epochs.advance()
    assert not reads_back(epochs.advance)


@pytest.fixture
def counting(tmp_path, monkeypatch) -> str:
    """An optimiser that counts its steps on the host, by its path."""
    (tmp_path / "counting.py").write_text(
        "import torch\n\n\n"
        "class Counting(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        "        for group in self.param_groups:\n"
        "            group['steps'] = group.get('steps', 0) + 1\n"
        "        return super().step(closure)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "counting:Counting"


@pytest.mark.parametrize(("name", "counts"), [("sgd", False), ("lion", False), ("counting:Counting", True)])
def test_an_optimizer_that_counts_on_the_host_is_not_captured(
    data, build, settings, capture_with, caplog, name, counts, counting
) -> None:
    """Every replay would correct its moments as the recorded step did."""
    settings = settings.model_copy(update={"optimizer": name})
    captured = []
    capture_with(lambda work: captured.append(work) or work)
    with caplog.at_level(logging.WARNING):
        train(build(), data, settings, seed=1)
    assert len(captured) == 2 - counts, "the evaluation is captured in any case"
    assert ("Counting counts its steps on the host" in caplog.text) == counts


def test_packed_optimizers_that_count_on_the_host_are_not_captured(
    data, build, settings, monkeypatch, caplog, counting
) -> None:
    module = importlib.import_module(train_packed.__module__)
    captured = []
    monkeypatch.setattr(module, "cuda_graphs", lambda *_: lambda work: captured.append(work) or work)
    train_packed([build(), build()], data, settings, seeds=[0, 1], device="cpu")
    assert len(captured) == 1
    with caplog.at_level(logging.WARNING):
        settings = settings.model_copy(update={"optimizer": counting})
        train_packed([build(), build()], data, settings, seeds=[0, 1], device="cpu")
    assert len(captured) == 1
    assert "Counting counts its steps on the host" in caplog.text


def test_what_broke_a_capture_is_told_not_what_its_end_raised(caplog) -> None:
    def capture(work):
        try:
            raise RuntimeError("nonzero is not permitted when stream is capturing")
        finally:
            raise OSError("operation failed due to a previous error during capture")

    replayed = Replayed(lambda: None, capture)
    for _ in range(WARM_UP + 1):
        replayed()
    assert "RuntimeError: nonzero is not permitted" in caplog.text
