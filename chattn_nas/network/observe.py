"""Observes places for attention in one forward pass: their shapes, and whether a gate there changes the output.

Everything runs on the meta device, which knows shapes and the graph of derivatives but no values, so a proof takes
neither memory nor arithmetic, whatever the size of the network. That a slot is called proves nothing (ResNeSt calls its
``drop_path`` on the block's input and drops the result); that the output's graph leads back to it does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from chattn_nas.network.slots import Block
from chattn_nas.network.surgery import Around, place, put

Shape = tuple[int, ...]
Node = Any  # torch.autograd.graph.Node


class Probe(nn.Module):
    """Stands in a slot in place of an attention: multiplies by a parameter, and records its input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), device="meta"))
        self.shapes: list[Shape] = []
        self.source: Node = None
        self.node: Node = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        self.shapes.append(tuple(x.shape))
        self.source = x.grad_fn
        gated = x * self.scale
        self.node = gated.grad_fn
        return gated


@dataclass
class Observed:
    """The observations of one forward pass, by path.

    Attributes:
        slots: Probes, by the path of their block.
        inputs, outputs: Shapes of the blocks' input and output, if each is one map that occurs once.
        convolutions: Convolutions of every block, in the order of the forward pass.
        at_convolutions, of_convolutions: Shapes of their inputs and outputs.
        result: The model's output.
        reached: Parameters that the result depends on, by identity.
        inner: For every block, by identity, the parameters that its output depends on, those before its slot, and
            those that the output depends on beside its slot.
        shortcuts: Convolutions beside their block's slot: neither does it depend on them, nor they on it.
    """

    slots: dict[str, Probe]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    convolutions: dict[str, list[str]]
    at_convolutions: dict[str, Shape]
    of_convolutions: dict[str, Shape]
    result: Any
    reached: set[int]
    inner: dict[str, tuple[set[int], set[int], set[int]]]
    shortcuts: frozenset[str]


@contextmanager
def probed(model: nn.Module, blocks: Sequence[Block]) -> Iterator[dict[str, Probe]]:
    """Put probes into the slots of these blocks, as attention would be, and remove them at the end."""
    probes: dict[str, Probe] = {}
    old: list[Callable[[], None]] = []
    # Inner modules come after those that hold them; wrapped first, their paths stay right.
    for block in reversed(blocks):
        module, probe = model.get_submodule(block.path), Probe()
        if block.kind == "stage":
            old.append(_put_back(model, block.path, module))
        else:
            old.append(_set_back(module, block.slot, getattr(module, block.slot)))
        place(model, block, "before_add", [probe])
        probes[block.path] = probe
    try:
        yield {block.path: probes[block.path] for block in blocks}
    finally:
        for undo in reversed(old):
            undo()


def _put_back(model: nn.Module, path: str, module: nn.Module) -> Callable[[], None]:
    return lambda: put(model, path, module)


def _set_back(module: nn.Module, name: str, value: nn.Module | None) -> Callable[[], None]:
    return lambda: setattr(module, name, value)


def observe(model: nn.Module, blocks: Sequence[Block], image: Tensor) -> Observed:
    """Run one forward pass with a probe in every slot.

    Args:
        model: On the meta device, in eval mode; left as it was.
        blocks: The blocks whose slots are probed.
        image: (B, C, H, W) on the meta device.

    Raises:
        Exception: Whatever the model raises if the image or a probe does not suit it.
    """
    with probed(model, blocks) as probes, _recording(model, blocks) as record, whole_graph():
        result = model(image)
    outputs = record.maps("output")
    inner = {
        block.path: _inner(record.nodes["input", block.path], record.nodes["output", block.path], probes[block.path])
        for block in blocks
        if block.path in outputs
    }
    return Observed(
        slots=probes,
        inputs=record.maps("input"),
        outputs=outputs,
        convolutions=record.convolutions(),
        at_convolutions=record.maps("conv"),
        of_convolutions=record.maps("of conv"),
        result=result,
        reached=behind(result.grad_fn) if isinstance(result, Tensor) else set(),
        inner=inner,
        shortcuts=frozenset(
            path
            for path, block in record.owner.items()
            if block in inner
            and ("of conv", path) in record.nodes
            and not inner[block][1].intersection(map(id, model.get_submodule(path).parameters()))
            and id(probes[block].scale) not in behind(record.nodes["of conv", path], record.nodes["input", block])
        ),
    )


def takes_one_map(args: Sequence[Any], names: Mapping[str, Any]) -> bool:
    """Whether a module that was called so gets one map alone: what is put around a module hands on no more."""
    return len(args) == 1 and not names


class _Direct:
    """Stands in for a reentrant checkpoint, which leaves one node in the graph for all that it runs."""

    @staticmethod
    def apply(function: Callable[..., Any], _preserve_rng_state: bool, *args: Any) -> Any:
        """Run the function as if there were no checkpoint."""
        return function(*args)


@contextmanager
def whole_graph() -> Iterator[None]:
    """Record the graph of derivatives, that of checkpointed modules too."""
    kept = torch.utils.checkpoint.CheckpointFunction
    torch.utils.checkpoint.CheckpointFunction = _Direct  # type: ignore[misc, assignment]
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.utils.checkpoint.CheckpointFunction = kept  # type: ignore[misc]


class _Record:
    """What hooks saw, by kind (input or output of a block or a convolution) and path."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.shapes: dict[tuple[str, str], Shape] = {}
        self.nodes: dict[tuple[str, str], Node] = {}
        self.owner: dict[str, str] = {}

    def note(self, kind: str, path: str, value: Any) -> None:
        if isinstance(value, tuple) and len(value) == 1:
            value = value[0]
        self.calls[kind, path] += 1
        self.shapes[kind, path] = tuple(value.shape) if isinstance(value, Tensor) else ()
        self.nodes[kind, path] = value.grad_fn if isinstance(value, Tensor) else None

    def maps(self, kind: str) -> dict[str, Shape]:
        """Shapes of this kind by path, where it is one map that occurs once."""
        return {
            key[1]: shape
            for key, shape in self.shapes.items()
            if key[0] == kind and self.calls[key] == 1 and len(shape) == 4
        }

    def convolutions(self) -> dict[str, list[str]]:
        """Paths of the convolutions of every block, in the order of their first call."""
        by_block: dict[str, list[str]] = defaultdict(list)
        for kind, path in self.shapes:
            if kind == "conv":
                by_block[self.owner[path]].append(path)
        return dict(by_block)


@contextmanager
def _recording(model: nn.Module, blocks: Sequence[Block]) -> Iterator[_Record]:
    """Record what goes into and out of blocks and their convolutions while the model runs."""
    record, hooks = _Record(), []

    def watch(module: nn.Module, path: str, into: str, out: str) -> None:
        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            record.note(into, path, kwargs if kwargs else args)

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            record.note(out, path, output)

        hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        hooks.append(module.register_forward_hook(after))

    try:
        for block in blocks:
            if block.kind == "stage":
                continue
            module = model.get_submodule(block.path)
            watch(module, block.path, "input", "output")
            for path, child in module.named_modules(prefix=block.path):
                if isinstance(child, nn.Conv2d):
                    record.owner[path] = block.path
                    watch(child, path, "conv", "of conv")
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def _inner(start: Node, end: Node, probe: Probe) -> tuple[set[int], set[int], set[int]]:
    """The parameters between a block's input and output: all, those before its slot, those beside its slot."""
    before = set() if probe.source is start else behind(probe.source, start)
    return behind(end, start), before, behind(end, start, probe.node)


def behind(end: Node, *stops: Node) -> set[int]:
    """The parameters, by identity, that the graph leads to from ``end`` without passing one of ``stops``."""
    parameters: set[int] = set()
    visited: set[Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is None or node in stops or node in visited:
            continue
        visited.add(node)
        if hasattr(node, "variable"):
            parameters.add(id(node.variable))
        waiting.extend(following for following, _ in node.next_functions)
    return parameters


def gates_beside(end: Node, probe: Probe) -> bool:
    """Whether a network multiplies the input of a probe by its output: ``x * self.se(x)`` for ``self.se(x)``.

    Args:
        end: The end of the network's graph.
        probe: A probe that was called once.
    """
    visited: set[Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is None or node in visited or node is probe.node:
            continue
        visited.add(node)
        before = [one for one, _ in node.next_functions]
        if probe.source is not None and probe.source in before and node.name().startswith("MulBackward"):
            other = before[1 - before.index(probe.source)]
            while other is not None and other is not probe.node and len(other.next_functions) == 1:
                other = other.next_functions[0][0]  # what reshapes the gate, or bends it
            if other is probe.node:
                return True
        waiting.extend(before)
    return False


def runs_with(model: nn.Module, paths: Sequence[str], image: Tensor) -> bool:
    """Whether a model on the meta device runs through a wrapper around each of these modules.

    Some networks read ``self.conv.weight`` directly, or call their modules from a Python list.
    """
    old = {path: model.get_submodule(path) for path in paths}
    called: set[nn.Module] = set()
    for path, module in sorted(old.items(), key=lambda item: -item[0].count(".")):
        wrapper = Around(module)
        wrapper.register_forward_hook(lambda one, *_: called.add(one))
        put(model, path, wrapper)
    try:
        with torch.no_grad():
            model(image)
    except Exception:  # whatever a model does with a module that it does not expect
        return False
    finally:
        for path, module in sorted(old.items(), key=lambda item: item[0].count(".")):
            put(model, path, module)
    return len(called) == len(old)
