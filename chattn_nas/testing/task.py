"""The conformance checks that every task must pass, including those of third parties.

>>> from chattn_nas.testing.task import battery
>>> for check in battery(data):  # doctest: +SKIP
...     check()
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from chattn_nas.network import build_network, cost
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.tasks import TaskData
from chattn_nas.testing.reads import reads_back

#: Functions of torch that wait for the device, or bring numbers to it from the host.
WAITING = frozenset(
    {"tensor", "as_tensor", "from_numpy", "item", "tolist", "cpu", "numpy", "nonzero", "bincount", "masked_select",
     "unique", "__bool__", "__int__", "__float__", "__index__"}
)  # fmt: skip
#: The backbone that heads are tried on.
BACKBONE = Backbone("cifar_resnet8", options={"width": 8})


@dataclass(frozen=True)
class TaskCheck:
    """One check; calling it raises ``AssertionError`` if the task fails.

    Attributes:
        name: Name of the check.
    """

    name: str
    run: Callable[[TaskData, Backbone], None]
    data: TaskData
    backbone: Backbone

    def __call__(self) -> None:
        """Run the check."""
        self.run(self.data, self.backbone)

    def __str__(self) -> str:
        return self.name


def battery(data: TaskData, backbone: Backbone = BACKBONE) -> list[TaskCheck]:
    """All checks of the task of ``data``; pass them to ``pytest.mark.parametrize``.

    Args:
        data: From :func:`chattn_nas.tasks.load` or ``of``; a dozen images are enough.
        backbone: A small backbone that suits the task's head.
    """
    return [TaskCheck(run.__name__.removeprefix("_").replace("_", " "), run, data, backbone) for run in CHECKS]


def _network(data: TaskData, backbone: Backbone, kind: str = "eca", seed: int = 0) -> nn.Module:
    built = build_network(
        Architecture(backbone, (StageChoice(kind),)), num_classes=data.num_classes or 1, in_chans=data.in_chans,
        image_size=data.image_size, seed=seed,
    )  # fmt: skip
    return data.task.network(built, seed)


def _batches(data: TaskData) -> Iterator[tuple[Any, torch.Tensor]]:
    for rows in torch.arange(len(data.validation)).split(3):
        yield data.validation[rows.to(data.validation.labels.device)], rows


def _a_batch_is_prepared_under_its_generator(data: TaskData, backbone: Backbone) -> None:
    batch = data.train[torch.arange(min(4, len(data.train)))]
    prepared = [data.task.prepare(batch, torch.Generator().manual_seed(seed)) for seed in (0, 0)]  # type: ignore[arg-type]
    inputs, targets = prepared[0]
    assert inputs.is_floating_point()
    assert len(inputs) == len(targets) == len(batch)
    assert inputs.isfinite().all()
    for one, other in zip(*prepared, strict=True):
        assert torch.equal(one, other), "what is drawn must come from the generator alone"


def _the_loss_is_finite_and_reaches_every_parameter(data: TaskData, backbone: Backbone) -> None:
    network = _network(data, backbone)
    inputs, targets = data.task.prepare(data.train[torch.arange(min(4, len(data.train)))], torch.Generator())  # type: ignore[arg-type]
    loss = data.task.criterion(inputs.device)(network(inputs), targets)
    assert loss.ndim == 0
    assert loss.isfinite()
    loss.backward()  # type: ignore[no-untyped-call]
    idle = [name for name, one in network.named_parameters() if one.grad is None and one.requires_grad]
    assert not idle, f"no gradient for {idle[:5]}: costs would lie"


def _the_head_is_drawn_under_a_seed_of_its_own(data: TaskData, backbone: Backbone) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = _network(data, backbone, "eca").state_dict()
        torch.manual_seed(2)
        second = _network(data, backbone, "none").state_dict()
        state = torch.random.get_rng_state()
        other = _network(data, backbone, "none", seed=1).state_dict()
        assert torch.equal(state, torch.random.get_rng_state()), "the global random state must stay as it was"
    shared = first.keys() & second.keys()
    assert shared
    for name in shared:
        assert torch.equal(first[name], second[name]), f"{name} differs between two networks of one seed"
    assert any(not torch.equal(second[name], other[name]) for name in other), "the seed must matter"


class _Watched(TorchFunctionMode):
    """Records operations that wait for the device or copy to it from the host, since neither can be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function))
        index = args[1] if name in ("__getitem__", "__setitem__") else ()
        masks = [one for one in (index if isinstance(index, tuple) else (index,)) if isinstance(one, torch.Tensor)]
        if name in WAITING or any(one.dtype == torch.bool for one in masks) or (name == "where" and len(args) == 1):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def _loss_and_scorer_leave_the_host_alone(data: TaskData, backbone: Backbone) -> None:
    network = _network(data, backbone)
    batch = data.train[torch.arange(min(4, len(data.train)))]
    criterion, scorer = data.task.criterion(batch.images.device), data.task.scorer(len(batch), batch.images.device)
    data.task.prepare(batch, torch.Generator())  # type: ignore[arg-type]  # what is made once may come from the host
    with _Watched() as watched:
        inputs, targets = data.task.prepare(batch, torch.Generator())  # type: ignore[arg-type]
    output = network(inputs)
    scorer.add(output.detach() if isinstance(output, torch.Tensor) else output, batch.labels, torch.arange(len(batch)))
    with watched, torch.no_grad():
        criterion(output, targets)
        data.task.presence(targets)
        scorer.add(output, batch.labels, torch.arange(len(batch)))
    seen = [*dict.fromkeys(watched.seen), *reads_back(lambda: criterion(network(inputs), targets).backward())]
    assert not seen, f"{', '.join(seen)}: a GPU could not capture this"


def _attention_and_costs_are_found_behind_the_head(data: TaskData, backbone: Backbone) -> None:
    network, bare = _network(data, backbone), _network(data, backbone, "none")
    slots = network.attention_slots
    assert slots
    for slot in slots:  # type: ignore[union-attr]
        network.get_submodule(slot.path)
        network.get_submodule(slot.block)
    with_it, without = (cost(one, data.image_size, in_chans=data.in_chans) for one in (network, bare))
    assert with_it.parameters > without.parameters > 0
    assert with_it.macs > without.macs > 0


def _a_copy_and_its_weights_compute_the_same(data: TaskData, backbone: Backbone) -> None:
    network = _network(data, backbone).eval()
    other = _network(data, backbone, seed=1).eval()
    other.load_state_dict(network.state_dict())
    images = data.task.inputs(next(_batches(data))[0].images)
    with torch.no_grad():
        outputs = [_tensors(one(images)) for one in (network, other, copy.deepcopy(network))]
    for again in outputs[1:]:
        for one, two in zip(outputs[0], again, strict=True):
            assert torch.equal(one, two)


def _scores_do_not_depend_on_the_batches(data: TaskData, backbone: Backbone) -> None:
    network = _network(data, backbone).eval()
    scorer = data.task.scorer(len(data.validation), torch.device("cpu"))
    scores = []
    with torch.no_grad():
        outputs = [(network(data.task.inputs(part.images)), part.labels, rows) for part, rows in _batches(data)]
        for order in (outputs, outputs[::-1]):
            scorer.reset()
            for output in order:
                scorer.add(*output)
            scores.append(scorer.result())
    for one, other in zip(*scores, strict=True):
        assert math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6), "reset must begin anew"
    json.dumps(scorer.figures())


def _scores_have_a_unit_and_perhaps_a_floor(data: TaskData, backbone: Backbone) -> None:
    unit = data.task.unit
    assert unit.name.isidentifier(), "it names a column"
    assert unit.text(0.5)
    low = data.task.floor()
    if low is not None:
        assert math.isfinite(low["score"])
        assert low["by"]


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values for tensor in _tensors(value)]


CHECKS = (
    _a_batch_is_prepared_under_its_generator,
    _the_loss_is_finite_and_reaches_every_parameter,
    _loss_and_scorer_leave_the_host_alone,
    _the_head_is_drawn_under_a_seed_of_its_own,
    _attention_and_costs_are_found_behind_the_head,
    _a_copy_and_its_weights_compute_the_same,
    _scores_do_not_depend_on_the_batches,
    _scores_have_a_unit_and_perhaps_a_floor,
)
