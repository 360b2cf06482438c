"""The unit start: every attention's output is brought to the scale of its input.

A sigmoid gate at its usual start halves the branch that it sits on, and a short training then measures how fast the
network grows it back. At the unit start the map behind an attention has, at initialisation, the root mean square that
the map before it has without attention. One forward of a batch of training images measures it, as LSUV does (Mishkin,
Matas 2016), and every correction is made before what follows is measured, so it takes part in it:

- inside a block the correction s goes into the scale that the map before has already, such as that of the last norm,
  the gain of NFNet's convolution or ConvNeXt's layer scale: s solves rms(attention(s x)) = rms(x). That a scale does
  scale the map is tried on the block, not read from a list of classes;
- where there is no such scale it is a constant behind the attention, :class:`Scaled`, no parameter;
- before a convolution a correction is made only where the block's output feels it: a norm that follows takes it out;
- a ratio within one percent of 1 (none, GCT, any identity) is left as it is, to the bit, and so is a map of zeros.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.network.scaled import Scaled
from chattn_nas.network.stage_scope import run_on, running_state
from chattn_nas.network.surgery import put

#: A ratio so near to 1 is left alone; a correction is solved to :data:`EXACT`.
TOLERANCE, EXACT, TRIES = 0.01, 1e-4, 12
#: A map's scale is felt where doubling it changes the block's output by this part of what leaving it out does.
FELT = 0.05
#: Largest distance of a scale from 1, in logarithms, relative to that of an attention that scales with its map.
FARTHEST = 2.0
#: Names of parameters that scale the output of their module.
SCALES = ("gain", "gamma", "weight", "bias")


@dataclass(frozen=True, slots=True)
class AttentionSlot:
    """The slot of one attention in a network.

    Attributes:
        stage: Index of the stage, from 0.
        path: Path of the attention module.
        block: Path of the block that it belongs to.
        before_conv: Whether it sits at a convolution, in front of it or behind it.
        inside: Whether it sits in the block, so that a scale of the block may come before it.
    """

    stage: int
    path: str
    block: str
    before_conv: bool
    inside: bool


@dataclass(frozen=True, slots=True)
class SlotStart:
    """Measurement and correction of one slot.

    Attributes:
        slot: The slot.
        ratio: Root mean square of the map behind the attention, relative to the map before it, uncorrected.
        scale: The correction; 1 if none was made.
        where: ``as it is`` (the ratio is 1), ``norm follows``, ``no map`` (zeros before or behind), ``behind`` (a
            constant), or the names of the parameters that took it.
    """

    slot: AttentionSlot
    ratio: float
    scale: float
    where: str


def start_at_unit(network: nn.Module, images: Tensor) -> list[SlotStart]:
    """Bring a network from ``build_network`` to the unit start, in place and without random numbers.

    Args:
        network: A new network, with its attentions at their official start.
        images: A batch (B, C, H, W) of normalised training images, on the network's device.

    Returns:
        The measurement and correction of every slot, in the order of the forward pass.
    """
    slots: tuple[AttentionSlot, ...] = getattr(network, "attention_slots", ())
    if not slots:
        return []
    with undisturbed(network):
        starts = Measuring(network, slots).run(images)
    for start in starts:
        if start.where == "behind":
            put(network, start.slot.path, Scaled(network.get_submodule(start.slot.path), start.scale))
    return starts


def rms(x: Tensor) -> float:
    """Root mean square of all elements."""
    return float(x.detach().double().square().mean().sqrt())


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Restore modes and buffers at the end."""
    modes = {module: module.training for module in network.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Allow forwards in train mode that leave no trace: no gradient; buffers, modes and random state are restored."""
    devices = {p.device for p in network.parameters() if p.device.type == "cuda"}
    with torch.no_grad(), restored(network), torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        network.train()
        yield


class _Stop(Exception):
    """A block that is run again has reached its attention, with this map."""

    def __init__(self, x: Tensor) -> None:
        self.x = x


class Measuring:
    """One forward pass in which every attention is measured and corrected when it is reached."""

    def __init__(self, network: nn.Module, slots: tuple[AttentionSlot, ...]) -> None:
        self.network = network
        self.slots = slots
        self.starts: dict[str, SlotStart] = {}
        self.forwards: dict[str, Callable[..., Any]] = {}
        #: By path of a block: its arguments, and weak references to what its modules gave.
        self.calls: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = {}
        self.given: dict[str, list[tuple[weakref.ref[Tensor], nn.Module]]] = {}
        #: The attention that a block is run again for: up to there, or with its map times a factor.
        self.target: str | None = None
        self.factor: float | None = None

    def run(self, images: Tensor) -> list[SlotStart]:
        """Run the forward pass, and return the results in its order."""
        hooks = []
        patched: list[nn.Module] = []
        for path in dict.fromkeys(slot.block for slot in self.slots if slot.inside or slot.before_conv):
            block = self.network.get_submodule(path)
            self.given[path] = []
            hooks.append(block.register_forward_pre_hook(self._block_hook(path), with_kwargs=True))
            for module in block.modules():
                if any(name in SCALES for name, _ in module.named_parameters(recurse=False)):
                    hooks.append(module.register_forward_hook(self._output_hook(path)))
        try:
            for slot in self.slots:
                module = self.network.get_submodule(slot.path)
                self.forwards[slot.path] = module.forward
                module.forward = self._probe(slot)  # type: ignore[method-assign]
                patched.append(module)
            self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
            for module in patched:
                del module.forward
        return list(self.starts.values())

    def _block_hook(self, path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            torch.manual_seed(0)  # what the block draws it shall draw again
            self.given[path].clear()
            if self.target is None:
                self.calls[path] = (args, kwargs, running_state())

        return note

    def _output_hook(self, path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not any(module is other for _, other in self.given[path]):
                self.given[path].append((weakref.ref(output), module))

        return note

    def _probe(self, slot: AttentionSlot) -> Callable[[Tensor], Tensor]:
        """Make a stand-in for the forward of one attention."""
        original = self.forwards[slot.path]

        def probe(x: Tensor) -> Tensor:
            """Measure at the first call, apply the correction at later ones."""
            if self.target == slot.path and self.factor is None:
                raise _Stop(x)
            known = self.starts.get(slot.path)
            if known is None and self.target is None:
                return self.measure(slot, x, original)
            y: Tensor = original(x)
            if known is not None and known.where == "behind":
                y = y * known.scale
            return y * self.factor if self.target == slot.path and self.factor is not None else y

        return probe

    def measure(self, slot: AttentionSlot, x: Tensor, original: Callable[[Tensor], Tensor]) -> Tensor:
        """Measure and correct one attention; return the map behind it."""
        state, drawn = running_state(), torch.get_rng_state()

        def behind(scale: float) -> Tensor:
            run_on(state)
            torch.set_rng_state(drawn)
            return original(x if scale == 1 else x * scale)

        y = behind(1.0)
        before, after = rms(x), rms(y)
        if not (before > 0 and after > 0 and math.isfinite(before) and math.isfinite(after)):
            return self._end(slot, math.nan, 1.0, "no map", y)
        ratio = after / before
        if abs(ratio - 1) <= TOLERANCE:
            return self._end(slot, ratio, 1.0, "as it is", y)
        if slot.before_conv and not self._is_felt(slot):
            return self._end(slot, ratio, 1.0, "norm follows", behind(1.0))
        scale = _solve(lambda s: rms(behind(s)) / before, ratio) if slot.inside else None
        scales = self.scales_before(slot, x) if scale is not None else {}
        if scale is not None and scales:
            for parameter in scales.values():
                parameter.mul_(scale)
            return self._end(slot, ratio, scale, ", ".join(scales), behind(scale))
        return self._end(slot, ratio, 1 / ratio, "behind", behind(1.0) / ratio)

    def _end(self, slot: AttentionSlot, ratio: float, scale: float, where: str, y: Tensor) -> Tensor:
        self.starts[slot.path] = SlotStart(slot, ratio, scale, where)
        return y

    def _is_felt(self, slot: AttentionSlot) -> bool:
        """Whether the block's output depends on the scale of the map behind the attention.

        In float64: a layer scale of 1e-6 leaves nothing of a branch in float32 beside its shortcut.
        """
        with _in_float64(self.network.get_submodule(slot.block)):
            twice, once, none = (self._again(slot, factor) for factor in (2.0, 1.0, 0.0))
        return rms(twice - once) > FELT * rms(once - none)

    def scales_before(self, slot: AttentionSlot, x: Tensor) -> dict[str, nn.Parameter]:
        """Parameters of the block that scale the map before the attention; none if there are none."""
        block = self.network.get_submodule(slot.block)
        owner = next((module for seen, module in self.given[slot.block] if seen() is x), None)
        for module in (owner, block):
            own = dict(module.named_parameters(recurse=False)) if module is not None else {}
            standardised = "gain" in own  # such a weight has no scale of its own
            names = [name for name in SCALES if name in own and not (name == "weight" and standardised)]
            if not names or (names == ["bias"]):
                continue
            scales = {name: own[name] for name in names}
            if self._do_scale(slot, x, list(scales.values())):
                prefix = next(path for path, other in self.network.named_modules() if other is module)
                return {f"{prefix}.{name}": parameter for name, parameter in scales.items()}
        return {}

    def _do_scale(self, slot: AttentionSlot, x: Tensor, parameters: list[nn.Parameter]) -> bool:
        """Whether doubling the parameters doubles the map, with the block run again up to the attention."""
        for parameter in parameters:
            parameter.mul_(2.0)
        try:
            self._again(slot)
        except _Stop as reached:
            return rms(reached.x - 2 * x) < EXACT * rms(x)
        finally:
            for parameter in parameters:
                parameter.mul_(0.5)
        return False

    def _again(self, slot: AttentionSlot, factor: float | None = None) -> Tensor:
        """The output of a slot's block, run again with the slot's map times ``factor``; ``None`` stops at the slot."""
        args, kwargs, state = self.calls[slot.block]
        block = self.network.get_submodule(slot.block)
        if factor is not None:
            args = tuple(value.double() if isinstance(value, Tensor) else value for value in args)
        kept = list(self.given[slot.block])
        self.target, self.factor = slot.path, factor
        run_on(state)
        try:
            output = block(*args, **kwargs)
        finally:
            self.given[slot.block] = kept
            self.target = self.factor = None
        return output if isinstance(output, Tensor) else output[0]


@contextmanager
def _in_float64(module: nn.Module) -> Iterator[None]:
    buffers = [(owner, name, buffer) for owner in module.modules() for name, buffer in owner._buffers.items()]
    dtypes = {parameter: parameter.dtype for parameter in module.parameters()}
    module.double()
    try:
        yield
    finally:
        for parameter, dtype in dtypes.items():
            parameter.data = parameter.data.to(dtype)
        for owner, name, buffer in buffers:
            owner._buffers[name] = buffer


def _solve(ratio_at: Callable[[float], float], first: float) -> float | None:
    """The scale at which a ratio is 1, by the secant method on logarithms; ``None`` if none is near.

    A gate may work differently on a map of another scale: with a distant solution it would not be the same attention.
    """
    points = [(0.0, math.log(first))]
    guess = -points[0][1]
    for _ in range(TRIES):
        if abs(guess) > FARTHEST * abs(points[0][1]) + 0.1:
            return None
        ratio = ratio_at(math.exp(guess))
        if not (ratio > 0 and math.isfinite(ratio)):
            return None
        points.append((guess, math.log(ratio)))
        if abs(points[-1][1]) < EXACT:
            return math.exp(guess)
        (x0, y0), (x1, y1) = points[-2:]
        guess = x1 - y1 * (x1 - x0) / (y1 - y0) if y1 != y0 else x1 - y1
    return None
