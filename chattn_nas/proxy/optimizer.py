"""Makes the optimiser with its groups of parameters, and holds their learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.errors import InputError, first_line
from chattn_nas.parts import is_path, load_object
from chattn_nas.proxy.capture import WARM_UP, Capture, Work
from chattn_nas.proxy.settings import ProxySettings

#: Its place in a spec.
WHERE = ("proxy", "optimizer")
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def without_weight_decay(network: nn.Module) -> set[str]:
    """Names of the parameters without weight decay: biases, norms, and those that a module exempts.

    A module exempts by ``no_weight_decay``, a method as in timm or a tuple of names relative to itself.
    """
    names = set()
    for prefix, module in network.named_modules():
        exempt = getattr(module, "no_weight_decay", ())
        exempt = exempt() if callable(exempt) else exempt
        own = [name for name, _ in module.named_parameters(recurse=False)]
        exempt = {*exempt, *(own if isinstance(module, _NORMS) else [n for n in own if n == "bias"])}
        names |= {f"{prefix}.{name}" if prefix else name for name in exempt}
    return names


def build_optimizer(network: nn.Module, settings: ProxySettings, *, images: int | None = None) -> torch.optim.Optimizer:
    """Make the settings' optimiser for the trainable parameters of ``network``.

    The learning rate is for a batch of 128 and scales with the actual batch, which cannot exceed the number of training
    ``images``. Parameters that ``network.rate_factors`` names, if it exists, have that factor of the learning rate.

    Raises:
        InputError: There is no such optimiser.
    """
    exempt, factors = without_weight_decay(network), getattr(network, "rate_factors", {})
    batch = settings.batch_size if images is None else min(settings.batch_size, images)
    peak = settings.learning_rate * batch / 128
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in exempt else settings.weight_decay
            groups.setdefault((decay, factors.get(name, 1.0)), []).append(parameter)
    return optimizer_of(
        [
            {"params": parameters, "weight_decay": decay, "lr": peak * factor}
            for (decay, factor), parameters in sorted(groups.items(), key=lambda item: (-item[0][0], -item[0][1]))
        ],
        settings,
        peak,
    )


def optimizer_of(groups: list[dict[str, Any]], settings: ProxySettings, peak: float) -> torch.optim.Optimizer:
    """Make the settings' optimiser for groups of parameters.

    Raises:
        InputError: There is no such optimiser; ``where`` is its place in the spec.
    """
    name = settings.optimizer
    if name == "sgd":
        return _sgd(groups, settings.momentum, peak)
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        # fused reads the learning rate on the device
        return kind(groups, lr=peak, fused=True, capturable=groups[0]["params"][0].device.type == "cuda")
    if is_path(name):
        return _own(name, groups, peak, settings.weight_decay)
    find_optimizer(name)
    from timm.optim import create_optimizer_v2

    made: torch.optim.Optimizer = create_optimizer_v2(
        groups, opt=name, lr=peak, weight_decay=settings.weight_decay, momentum=settings.momentum
    )
    for group in made.param_groups:
        if "capturable" in group:  # counts steps and reads the learning rate on the device
            group["capturable"] = group["params"][0].device.type == "cuda"
    return made


def find_optimizer(name: str) -> Any:
    """Find an optimiser by its name: what is at a path, ``None`` where the name is known.

    Raises:
        InputError: There is no such optimiser; ``where`` is its place in the spec.
    """
    if is_path(name):
        return load_object(name, "an optimiser", WHERE, takes=("groups",), keywords=("lr", "weight_decay"))
    from timm.optim import list_optimizers

    ours = ["sgd", "adam", "adamw"]
    known = [*ours, *list_optimizers(exclude_filters=ours)]
    if name not in known:
        raise InputError(f"there is no optimiser {name!r}", where=WHERE, value=name, choices=[*known, "module:Class"])
    return None


def _own(name: str, groups: list[dict[str, Any]], peak: float, weight_decay: float) -> torch.optim.Optimizer:
    make = find_optimizer(name)
    try:
        made = make(groups, lr=peak, weight_decay=weight_decay)
    except Exception as error:  # somebody else's code
        raise InputError(
            f"optimiser {name!r} cannot be made: {type(error).__name__}: {first_line(error)}", where=WHERE
        ) from error
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(f"optimiser {name!r} is a {type(made).__name__}, not a torch.optim.Optimizer", where=WHERE)
    return made


def _sgd(groups: list[dict[str, Any]], momentum: float, peak: float) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(
        groups,
        lr=peak,
        momentum=momentum,
        nesterov=momentum > 0,
        fused=True,  # the one form that reads the learning rate on the device
    )
    if momentum:  # from zero, as the first step would: so that every step is the same work
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class Rates:
    """The learning rates of an optimiser's groups as tensors on the device, each a factor of its peak.

    Args:
        optimizer: The optimiser; its current rates are the peaks, and are replaced by tensors.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.pairs = []
        for group in optimizer.param_groups:
            device = group["params"][0].device
            dtype = torch.float64 if device.type == "cpu" else torch.float32  # what the fused kernels read
            peak = float(group["lr"])
            group["lr"] = torch.tensor(peak, dtype=dtype, device=device)
            self.pairs.append((group["lr"], peak))

    def set(self, factor: Tensor) -> None:
        """Set the rates to a factor of their peaks, a tensor of one element on the device."""
        for rate, peak in self.pairs:
            rate.copy_(factor.squeeze() * peak)


def unless_counting(capture: Capture | None, *optimizers: torch.optim.Optimizer) -> Capture | None:
    """Refuse to capture steps of optimisers that keep on the host what changes from step to step, such as a count.

    Replays would not go on with it: a correction of moments would stay that of the recorded step.

    Args:
        capture: Records work, after its warm-up; ``None`` stays as it is.
        optimizers: The optimisers that step in this work.
    """
    if capture is None:
        return None
    watched = [_HostValues(optimizer) for optimizer in optimizers]

    def checked(work: Work) -> Work:
        for values in watched:
            if values.changed:
                raise RuntimeError(f"{type(values.optimizer).__name__} counts its steps on the host")
        return capture(work)

    return checked


class _HostValues:
    """Looks after the first steps of an optimiser whether any of its values on the host have changed."""

    #: The hook runs twice in a step that calls that of its base class.
    LOOKS = 2 * WARM_UP

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.changed = optimizer, False
        self.seen: list[list[float]] = []
        self.hook = optimizer.register_step_post_hook(lambda *_: self._look())

    def _look(self) -> None:
        self.seen.append(list(self._values()))
        self.changed = self.seen[-1] != self.seen[0]
        if self.changed or len(self.seen) == self.LOOKS:
            self.hook.remove()

    def _values(self) -> Iterator[float]:
        for group in self.optimizer.param_groups:
            device = group["params"][0].device
            states = [self.optimizer.state.get(parameter, {}) for parameter in group["params"]]
            for value in (value for one in (group, *states) for key, value in one.items() if key != "params"):
                for part in value if isinstance(value, (list, tuple)) else [value]:
                    elsewhere = isinstance(part, Tensor) and part.numel() == 1 and part.device.type != device.type
                    if elsewhere or isinstance(part, (int, float)):
                        yield float(part)
