"""The final training of a run: exact resume, one look at the test set, weights that the export takes."""

import csv
import os
import signal
import subprocess

import pytest
import safetensors.torch
import torch

from chattn_nas.api import Run
from chattn_nas.data import load_data
from chattn_nas.errors import DataError, InputError, MissingExtraError, RunError, TrainingStopped
from chattn_nas.report import html, markdown
from chattn_nas.search import search
from chattn_nas.spec import Spec, TrainingSettings
from chattn_nas.study import hold as hold_module
from chattn_nas.training import of_run as composed
from chattn_nas.training import read_result
from chattn_nas.training import train as train_module
from chattn_nas.training import training_data as training_data


def weights(run, seed=0):
    (path,) = (run.directory / "training").glob(f"*-{seed}/weights.safetensors")
    return safetensors.torch.load_file(path)


def assert_equal(first, second) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


class Killed(Exception):
    pass


def killed(*_, **__):
    raise Killed


def killed_after(epochs):
    def on_epoch(row):
        if row["epoch"] == epochs:
            raise Killed

    return on_epoch


def test_what_it_leaves_and_that_export_takes_its_weights(run) -> None:
    best = run.best()
    before = best.network().state_dict()
    on_epoch = []
    result = best.train(on_epoch=on_epoch.append)
    assert [row["epoch"] for row in on_epoch] == [1, 2, 3]
    (folder,) = (run.directory / "training").iterdir()
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == [row["train_loss"] for row in on_epoch]
    assert result == read_result(folder)
    assert 0 < result.test_score <= 1
    assert result.score == on_epoch[-1]["score"]
    assert result.plan["epochs"] == 3
    after = best.network().state_dict()
    assert_equal(after, weights(run))
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
    assert "3 epochs on seed 0" in best.card().origin
    said = f"{100 * result.test_score:.2f} % on the test set**, which it read once, after 3 epochs on seed 0"
    assert said in markdown(run.study)
    assert ">Final training<" in html(run.study)


def test_the_test_set_is_read_once(run, monkeypatch) -> None:
    read = []
    original = training_data.load_test
    monkeypatch.setattr(training_data, "load_test", lambda *a, **k: read.append(a) or original(*a, **k))
    first = run.best().train()
    assert run.best().train() == first
    assert len(read) == 1


def test_a_missing_test_set_is_found_before_the_first_epoch(run, monkeypatch) -> None:
    monkeypatch.setattr("chattn_nas.data.load.has_test", lambda settings: False)
    on_epoch = []
    with pytest.raises(DataError, match=r"no test images.*data\.test: 0\.2"):
        run.best().train(on_epoch=on_epoch.append)
    assert on_epoch == []


@pytest.mark.parametrize("data_on", ["device", "disk"])
def test_a_training_cut_off_goes_on_to_the_same_bits(run, data_on) -> None:
    best, settings = run.best(), run.spec.training.changed(data_on=data_on)
    with pytest.raises(Killed):
        best.train(settings=settings, on_epoch=killed_after(2))  # epoch 2 is trained and not yet kept
    rows = []
    best.train(settings=settings, on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [2, 3]
    resumed = weights(run)
    (folder,) = (run.directory / "training").iterdir()
    with (folder / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    for path in folder.iterdir():
        path.unlink()
    best.train(settings=run.spec.training.changed(data_on=data_on))
    assert_equal(resumed, weights(run))


def test_a_training_cut_off_before_its_test_is_only_tested(run, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training_data, "load_test", killed)
        with pytest.raises(Killed):
            run.best().train(epochs=2)
    on_epoch = []
    result = run.best().train(epochs=2, on_epoch=on_epoch.append)
    assert on_epoch == []
    assert result.score is not None


@pytest.mark.slow
def test_a_training_killed_for_real_goes_on_to_the_same_bits(run, chattn_nas) -> None:
    folder = run.directory.parent
    process = chattn_nas("train", str(run.directory), cwd=folder)
    for line in process.stdout:
        if line.startswith("epoch 2"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait(timeout=60)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert not list((run.directory / "training").glob("*/result.json"))
    printed, _ = chattn_nas("train", str(run.directory), cwd=folder).communicate(timeout=120)
    assert "epoch 1:" not in printed, printed
    assert "epoch 3:" in printed
    assert "Test accuracy" in printed
    resumed = weights(run)
    (trained,) = (run.directory / "training").iterdir()
    for path in trained.iterdir():
        path.unlink()
    # The same command again: the same bits need as many threads.
    undisturbed = chattn_nas("train", str(run.directory), cwd=folder)
    printed, _ = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, printed
    assert_equal(resumed, weights(run))


def test_images_on_disk_give_what_the_device_holds(run) -> None:
    run.best().train(settings=run.spec.training.changed(data_on="device"))
    held = weights(run)
    (folder,) = (run.directory / "training").iterdir()
    for path in folder.iterdir():
        path.unlink()
    run.best().train(settings=run.spec.training.changed(data_on="disk"))
    assert_equal(held, weights(run))


def test_validation_images_are_trained_on_when_asked_for(run, monkeypatch) -> None:
    counts = []
    original = train_module.TrainingStep.__call__

    def counting(self, batch):
        counts.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(train_module.TrainingStep, "__call__", counting)
    assert run.best().train(epochs=1).score is not None
    without, counts[:] = sum(counts), []
    result = run.best().train(epochs=1, with_validation=True, seed=1)
    assert result.score is None
    data = load_data(run.spec.data)
    assert without == len(data.train) // 64 * 64
    assert sum(counts) == (len(data.train) + len(data.validation)) // 64 * 64


def test_another_plan_is_refused(run) -> None:
    run.best().train(epochs=1)
    with pytest.raises(RunError, match=r"epochs 1, not 2.*seed=\.\.\."):
        run.best().train(epochs=2)
    run.best().train(epochs=2, seed=5)
    with pytest.raises(Killed):
        run.best().train(epochs=2, seed=6, on_epoch=killed_after(2))
    with pytest.raises(RunError, match=r"ema 0\.9, not 0\.5"):
        run.best().train(epochs=2, seed=6, settings=run.spec.training.changed(ema=0.5))


def test_another_process_in_the_folder_is_refused(run, monkeypatch) -> None:
    def on_epoch(row):
        monkeypatch.setattr(hold_module, "_locks", {})  # what this process holds, another process does not
        with pytest.raises(RunError, match="another process trains"):
            run.best().train(epochs=1)

    run.best().train(epochs=1, on_epoch=on_epoch)


def test_a_loss_that_is_not_finite_stops_with_advice(run) -> None:
    with pytest.raises(TrainingStopped, match=r"epoch 1: a smaller training\.learning_rate"):
        run.best().train(settings=run.spec.training.changed(learning_rate=1e11, clip=None, epochs=2, mixup=0.0))


def test_a_step_that_fails_is_one_sentence(run, monkeypatch) -> None:
    def breaks(*given: object) -> None:
        raise KeyError("of my own")

    monkeypatch.setattr("chattn_nas.proxy.step.TrainingStep.loss", breaks)
    with pytest.raises(TrainingStopped, match=r"epoch 1 failed: KeyError: 'of my own' \(breaks, line \d+\)"):
        run.best().train(epochs=1, seed=8)


def test_tensorboard_files_or_how_to_get_them(run, monkeypatch) -> None:
    pytest.importorskip("tensorboard")
    run.best().train(epochs=1, tensorboard=True)
    assert list(run.directory.glob("training/*/tensorboard/events*"))
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chattn-nas\[tensorboard\]'"):
        run.best().train(epochs=1, seed=1, tensorboard=True)


def test_only_settings_of_the_training_can_be_changed(run) -> None:
    with pytest.raises(InputError, match="unknown key 'epoch_count'"):
        run.spec.training.changed(epoch_count=3)
    with pytest.raises(InputError, match="epochs: should be greater than or equal to 1, not 0"):
        run.best().train(epochs=0)
    with pytest.raises(InputError, match="'best' or a number"):
        run.chosen("good")


def test_what_is_not_given_is_the_proxys(run) -> None:
    proxy = run.spec.proxy
    assert TrainingSettings().recipe(proxy).rungs == [4]
    recipe = TrainingSettings(epochs=7, learning_rate=0.5).recipe(proxy)
    assert recipe == proxy.model_copy(update={"rungs": [7], "learning_rate": 0.5})
    plan = composed.plan_of(run.spec, TrainingSettings(), run.best().architecture, 3)
    assert plan["batch_size"] == 64
    assert plan["learning_rate"] == proxy.learning_rate
    assert not {"workers", "data_on", "tensorboard", "device"} & plan.keys()


@pytest.mark.slow
def test_two_processes_train_one_network(run, chattn_nas) -> None:
    process = chattn_nas("train", str(run.directory), "--epochs", "2", cwd=run.directory.parent, processes=2)
    try:
        printed, _ = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, printed
    assert printed.count("epoch 2:") == 1, "one of them speaks"
    assert printed.count("Test accuracy") == 1
    assert weights(run)


def test_a_batch_of_one_image_is_refused_where_a_norm_would_see_one_value(run, tmp_path) -> None:
    """It was torch's "Expected more than 1 value per channel when training", in the first epoch."""
    training = {"epochs": 1, "batch_size": 1}
    spec = Spec.from_dict({**run.spec.to_dict(), "space": {"all": ["srm"]}, "training": training})
    held = search(spec, run=tmp_path / "srm", trials=3, progress=False)
    chosen = next(one for one in map(Run(held.directory).trial, range(3)) if "srm" in str(one))
    words = (
        "training.batch_size: this network cannot be trained on batches of one image, of which a norm sees one value"
    )
    with pytest.raises(InputError, match=words):
        chosen.train()
    assert not list((held.directory / "training").glob("*/log.csv"))
