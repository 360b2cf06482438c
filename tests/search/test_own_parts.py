"""Parts of the user's own, in one file beside the spec: found, tried before anything is spent, and remembered."""

import sys
from pathlib import Path

import pytest

from chattn_nas import parts
from chattn_nas.errors import InputError, RunError
from chattn_nas.search.engine import search
from chattn_nas.search.log_to import check_log_to
from chattn_nas.search.preflight import try_out
from chattn_nas.search.same import plugins
from chattn_nas.spec import Spec, load_spec
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.record import records

PARTS = """\
import torch
from torch.nn import functional as F

from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.search import Callback
from chattn_nas.search.trainer import ProxyTrainer
from seam_helper import FACTOR

not_callable = 3


def darker(images, generator):
    factor = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    return (images * (1 - factor / 2)).to(torch.uint8)


def from_anywhere(images, generator):
    return (images * torch.rand(())).to(torch.uint8)


def to_float(images, generator):
    return images / 255


def one_argument(images):
    return images


def loss(output, targets):
    return F.cross_entropy(output.float(), targets)


def of_every_image(output, targets):
    return F.cross_entropy(output.float(), targets, reduction="none")


def of_three_classes(output, targets):
    return F.cross_entropy(output[:, :3].float(), targets)


def metric(logits, targets):
    return (logits.argmax(1) == targets).float().mean()


def nan(logits, targets):
    return float("nan")


def linear(step, steps, warmup):
    return FACTOR * (1 - step / steps)


def negative(step, steps, warmup):
    return -1.0


class Descent(torch.optim.Optimizer):
    def __init__(self, groups, lr, weight_decay):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(self.rate(group).to(parameter.dtype) * parameter.grad)

    def rate(self, group):
        return group["lr"]


class Stubborn(Descent):
    def rate(self, group):
        return torch.tensor(0.1)


def no_optimizer(groups, lr, weight_decay):
    return groups


class Logger(Callback):
    def __init__(self, run):
        self.path = run.directory / "mine.txt"

    def on_trial_end(self, trial):
        with self.path.open("a") as file:
            file.write(f"{trial.number} {trial.outcome} {trial.unit.title}\\n")


class Silent:
    def __init__(self, run):
        pass


class Slow(ProxyTrainer):
    '''Ours, with rungs of its own making.'''

    def train(self, network, seed, report):
        rungs = []
        for index, epoch in enumerate(self.spec.proxy.rungs):
            rungs.append(Rung(epoch=epoch, score=0.5 + seed / 100 + index / 10, loss=1.0))
            if report(index, rungs[-1]):
                return Measurement(outcome=Outcome.PRUNED, reason="told so", rungs=tuple(rungs))
        return Measurement(outcome=Outcome.COMPLETE, rungs=tuple(rungs))


class Whole:
    '''Nothing of ours but the stages.'''

    def __init__(self, spec, device):
        self.spec, self.stages = spec, spec.search_space().stages

    def build(self, architecture, seed):
        network = torch.nn.Linear(2, 2)
        network.architecture = architecture
        return network

    def costs(self, network):
        return {"parameters": 6, "macs": 4}

    train = Slow.train


class Lacking:
    def __init__(self, spec, device):
        self.stages = spec.search_space().stages

    def build(self, architecture, seed):
        return torch.nn.Linear(2, 2)


class Breaking:
    def __init__(self, spec, device):
        raise OSError("no such\\nmachine")


def without_device(spec):
    pass
"""
FIELDS = {
    "name": "mine",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 200},
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {"trials": 4, "workers": 0, "sampler": "random"},
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "seam_parts.py").write_text(PARTS)
    (tmp_path / "seam_helper.py").write_text("FACTOR = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("seam_parts", "seam_helper"):
        sys.modules.pop(name, None)


def spec(**sections) -> Spec:
    return Spec.from_dict({**FIELDS, **{
        name: {**FIELDS.get(name, {}), **fields} if isinstance(fields, dict) else fields
        for name, fields in sections.items()
    }})  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key", "name", "said"),
    [
        ("data", "augment", "from_anywhere", "draws from elsewhere than its generator"),
        (
            "data",
            "augment",
            "to_float",
            r"gives a tensor \(2, 1, 8, 8\) of float32 for a tensor .* of uint8",
        ),
        ("data", "augment", "one_argument", r"it is called with \(images, generator\) and takes \(images\)"),
        ("data", "augment", "not_callable", "has no 'not_callable' that could be an augmentation"),
        ("data", "metric", "nan", "instead of a number"),
        ("data", "metric", "one_argument", r"called with \(logits, targets\)"),
        ("data", "dataset", "darkr", "has no 'darkr' that could be a data set; did you mean 'darker'"),
        ("proxy", "loss", "of_every_image", r"one number with a gradient, not a tensor \(2,\) of float32"),
        ("proxy", "loss", "of_three_classes", "seam_parts:of_three_classes fails: IndexError: Target"),
        ("proxy", "loss", "one_argument", r"called with \(output, targets\)"),
        ("proxy", "optimizer", "Stubborn", "moves at learning rate 0"),
        ("proxy", "optimizer", "no_optimizer", "is a list, not a torch.optim.Optimizer"),
        ("proxy", "optimizer", "loss", r"called with \(groups, lr=..., weight_decay=...\)"),
        ("proxy", "scheduler", "negative", "gives -1 at step 0 of 100"),
        ("proxy", "scheduler", "loss", r"called with \(step, steps, warmup\)"),
        ("search", "sampler", "loss", "cannot be made: TypeError"),
        ("search", "pruner", "Silent", "cannot be made: TypeError"),
        (None, "trainer", "Lacking", "has no costs and no train: a trainer has stages, build, costs, train"),
        (None, "trainer", "Breaking", "cannot be made: OSError: no such"),
        (None, "trainer", "without_device", r"called with \(spec, device\) and takes \(spec\)"),
    ],
)
def test_what_does_not_fit_its_protocol_is_refused_before_anything_is_spent(section, key, name, said) -> None:
    given = {key: f"seam_parts:{name}"}
    with pytest.raises(InputError, match=said) as caught:
        try_out(spec(**({section: given} if section else given)))
    assert caught.value.where == ((section, key) if section else (key,))
    assert not Path("runs").exists()


def test_every_part_of_one_s_own_works_and_counts() -> None:
    mine = spec(
        data={"augment": "seam_parts:darker", "metric": "seam_parts:metric"},
        proxy={f"{key}": f"seam_parts:{name}" for key, name in
               {"loss": "loss", "optimizer": "Descent", "scheduler": "linear"}.items()},
        search={"log_to": ["csv", "seam_parts:Logger"]},
    )  # fmt: skip
    run = search(mine, progress=False)
    assert {one.outcome for one in records(run.study)} <= {"complete", "pruned"}
    lines = (run.directory / "mine.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3"]
    assert all(line.endswith(" metric") for line in lines), "records tell the study's own unit"
    kept = study_attributes(run.study).plugin_fingerprint
    assert set(mine.own_parts.values()) | {"seam_helper"} == kept.keys() == plugins(mine).keys()
    assert spec().hash == spec(proxy={"scheduler": "cosine"}).hash != spec(proxy={"scheduler": "a:b"}).hash

    helper = Path("seam_helper.py")
    helper.write_text("# another comment\nFACTOR = 1.0\n")
    search(mine, trials=5, progress=False)
    helper.write_text("FACTOR = 0.5\n")
    with pytest.raises(RunError, match="seam_helper was edited since 'mine' was started"):
        search(mine, trials=6, progress=False)


def test_what_only_proposes_stops_or_logs_may_be_edited(caplog) -> None:
    Path("seam_logger.py").write_text("from seam_parts import Logger\n")
    mine = spec(search={"log_to": ["seam_logger:Logger"]})
    search(mine, progress=False)
    Path("seam_logger.py").write_text("from seam_parts import Logger\n\nX = 1\n")
    run = search(mine, trials=5, progress=False)
    assert any("seam_logger:Logger edited" in change for change in study_attributes(run.study).changes)
    sys.modules.pop("seam_logger")


def test_loggers_by_path_are_callbacks() -> None:
    with pytest.raises(InputError, match="has no 'Nothing' that could be a logger") as caught:
        check_log_to(["csv", "seam_parts:Nothing"])
    assert caught.value.where == ("search", "log_to", 1)
    with pytest.raises(InputError, match=r"is a Silent, and no chattn_nas\.search\.Callback"):
        search(spec(search={"log_to": ["seam_parts:Silent"]}), progress=False)


@pytest.mark.parametrize("name", ["Slow", "Whole"])
def test_a_trainer_of_one_s_own_reports_its_rungs(name) -> None:
    mine = spec(trainer=f"seam_parts:{name}", search={"trials": 6})
    run = search(mine, progress=False)
    known = records(run.study)
    assert len(known) == 6
    assert {rung.score for one in known for rung in one.rungs} <= {
        0.5 + s / 100 + i / 10 for s in range(3) for i in range(2)
    }
    assert study_attributes(run.study).metric == "accuracy"
    assert f"seam_parts:{name}" in study_attributes(run.study).plugin_fingerprint
    assert mine.hash != spec().hash
    assert mine.differences(spec()) == ["trainer"]
    with pytest.raises(RunError, match="trainer"):
        search(spec(), trials=7, progress=False)


def test_a_class_of_the_script_itself_cannot_train_in_workers() -> None:
    with pytest.raises(InputError, match="which worker processes cannot import") as caught:
        search(spec(proxy={"scheduler": "__main__:linear"}, search={"workers": 2}), progress=False)
    assert caught.value.where == ("proxy", "scheduler")


def test_a_path_is_told_apart_and_the_reason_of_a_failed_import_is_told() -> None:
    assert not any(map(parts.is_path, ("tpe", "optunahub:a", "hf_hub:a/b", "local-dir:/x")))
    Path("broken_part.py").write_text("import no_such_package_at_all\n")
    with pytest.raises(InputError, match=r"ModuleNotFoundError: No module named 'no_such_package_at_all'\)$"):
        parts.load_object("broken_part:x", "a loss", ("proxy", "loss"))
    with pytest.raises(InputError, match="modules are looked for in the spec's folder"):
        parts.load_object("not_there_at_all:x", "a loss", ("proxy", "loss"))


def test_the_line_of_a_part_that_does_not_fit_is_told(tmp_path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: x\nbackbone: {model: cifar_resnet8}\ndata: {dataset: digits}\nspace: {all: [none]}\ntrainer: 3\n"
    )
    with pytest.raises(InputError, match=r"spec\.yaml:5: trainer"):
        load_spec(path)
