"""A study goes on only with the data and the parts that it was started with; a start that failed binds nobody."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from chattn_nas import judging
from chattn_nas.api import Run
from chattn_nas.arguments import by_flags
from chattn_nas.errors import DataError, InputError, RunError
from chattn_nas.search import join, search
from chattn_nas.spec import Spec


def images(root, first=0, count=12) -> None:
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            first += 1
            pixels = np.random.default_rng(first).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:03d}.png")


def spec_of(root, types=("none",), **changes) -> Spec:
    return Spec.model_validate({
        "name": "same",
        "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
        "data": {"dataset": "image_folder", "path": str(root), "image_size": 8, "validation": 0.25} | changes,
        "space": {"all": list(types)},
        "proxy": {"rungs": [1], "batch_size": 4, "device": "cpu"},
        "search": {"trials": 1, "workers": 0, "sampler": "random"},
    })  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    images(tmp_path / "set")
    spec = spec_of(tmp_path / "set")
    return search(spec, run=tmp_path / "run", progress=False), spec


def go_on(finished) -> None:
    run, spec = finished
    search(spec, run=run.directory, trials=2, progress=False)


def test_the_same_content_elsewhere_goes_on(finished, tmp_path) -> None:
    run, spec = finished
    shutil.copytree(tmp_path / "set", tmp_path / "moved")
    moved = spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(tmp_path / "moved")})})
    search(moved, run=run.directory, trials=2, progress=False)
    assert Run(run.directory).spec.data.path == str(tmp_path / "moved")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: images(root, first=500), "content of the train images differs"),
        (lambda root: (root / "ant" / "000.png").unlink(),
         r"train has 23 images, not 24 \(ant: 11, not 12\)"),
        (lambda root: (root / "ant").rename(root / "cat"), "no class ant and a class cat"),
        (lambda root: (root / "ant" / "000.png").rename(root / "bee" / "099.png"),
         "labels of the train images differ"),
    ],
)  # fmt: skip
def test_other_content_is_refused_everywhere(finished, tmp_path, change, words) -> None:
    run, _ = finished
    change(tmp_path / "set")
    for attempt in (
        lambda: go_on(finished),
        lambda: join(run.directory),
        lambda: judging.confirm(Run(run.directory), seeds=2, workers=0, progress=False),
        lambda: Run(run.directory).best().train(epochs=1),
    ):
        with pytest.raises(DataError, match=words) as caught:
            attempt()
        assert caught.value.where == ("data", "path")
        assert "\n" not in str(caught.value)
    assert len(run.study.get_trials(deepcopy=False)) <= 4


def test_other_versions_are_told_and_kept(finished, monkeypatch, caplog) -> None:
    monkeypatch.setattr("chattn_nas.search.session.versions", lambda: {"torch": "99"})
    go_on(finished)
    assert "torch 99, not " in caplog.text
    assert finished[0].study.user_attrs["changes"][0].startswith("torch 99")


PLUGIN = """
import torch
from torch import nn
from chattn_nas.attention import register


@register("edited_{name}", parameters=lambda c, **v: 0, macs=lambda c, s, **v: 0)
class Edited(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x * {factor}
"""


def test_an_edited_part_is_a_change(tmp_path) -> None:
    from chattn_nas.search.same import PARTS, check_same

    images(tmp_path / "set")
    run = search(spec_of(tmp_path / "set"), run=tmp_path / "run", progress=False)
    assert run.study.user_attrs[PARTS] == {}
    run.study.set_user_attr(PARTS, {"mine:Gate": "old"})
    check_same(run.study, spec_of(tmp_path / "set"))  # a part that is not in the space any more is no change

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chattn_nas.search.same.plugins", lambda spec: {"mine:Gate": "new"})
        way_out = r"take the edit back, or .* \(chattn-nas search SPEC --name NAME\)"  # train has no --name
        with by_flags(), pytest.raises(RunError, match=f"mine:Gate was edited since 'same' was started.*{way_out}"):
            check_same(run.study, spec_of(tmp_path / "set"))


def test_a_start_that_failed_binds_nobody(tmp_path) -> None:
    images(tmp_path / "set")
    (tmp_path / "set" / "ant" / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png"):
        search(spec_of(tmp_path / "set"), run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists(), "nothing is written"
    broken = spec_of(tmp_path / "set", bad_files="skip")
    with pytest.raises(InputError, match=r"device 'cuda:77'"):
        search(broken.model_copy(update={"proxy": broken.proxy.model_copy(update={"device": "cuda:77"})}),
               run=tmp_path / "run", progress=False)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_finished_trial_takes_the_new_spec(tmp_path) -> None:
    from chattn_nas.search.session import quiet_optuna
    from chattn_nas.study import RunDirectory

    images(tmp_path / "set")
    quiet_optuna()
    RunDirectory.create(spec_of(tmp_path / "set"), tmp_path / "run")
    changed = spec_of(tmp_path / "set", resize="crop")
    run = search(changed, run=tmp_path / "run", progress=False)
    assert run.spec.data.resize == "crop"
    with pytest.raises(RunError, match=r"other settings: data\.resize"):
        search(spec_of(tmp_path / "set"), run=tmp_path / "run", progress=False)


def test_code_of_plugins_is_known_by_what_it_does(tmp_path, monkeypatch) -> None:
    from chattn_nas.search.same import plugins

    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"plugin_{abs(hash(str(tmp_path)))}"
    images(tmp_path / "set")
    path = tmp_path / f"{name}.py"
    path.write_text(PLUGIN.format(name=name, factor=2))
    try:
        spec = spec_of(tmp_path / "set", ("none", f"{name}:Edited"))
        before = plugins(spec)
        assert len(before) == 1
        import linecache

        path.write_text("# a comment\n" + PLUGIN.format(name=name, factor=2))
        linecache.clearcache()
        assert plugins(spec) == before
        path.write_text(PLUGIN.format(name=name, factor=3))
        linecache.clearcache()
        assert plugins(spec) != before
    finally:
        sys.modules.pop(name, None)
