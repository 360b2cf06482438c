"""The gates of a trained network's attentions, class by class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: Number of channels per stage to store (those whose gates differ most between classes), and of classes.
CHANNELS, CLASSES = 32, 20


@dataclass(frozen=True, kw_only=True)
class StageGates:
    """The gates of the last attention of one stage.

    A gate is measured from outside, whatever the mechanism: the mean size of the map behind the attention relative to
    the map before it, per channel; 1 lets a channel through unchanged.

    Attributes:
        stage: Its number, from 1.
        channels: Indices of the channels that are kept.
        values: Mean gate per class and channel, (classes, channels).
        overall: Mean gate over all images and channels.
        between: Share of the gates' variance over images that the class explains, mean over all channels; 0 if all
            classes are gated alike, as by a fixed factor.
        varying: Standard deviation over images of a channel's gate, mean over channels.
    """

    stage: int
    channels: list[int]
    values: list[list[float]]
    overall: float
    between: float
    varying: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@torch.no_grad()
def class_gates(network: nn.Module, images: Tensor, labels: Tensor) -> list[StageGates]:
    """Measure the gates of every stage that has attention.

    Args:
        network: A trained network from ``build_network``; used in eval mode and left as it was.
        images: Normalised (B, C, H, W), on the network's device.
        labels: (B,) int64.
    """
    slots = {slot.stage + 1: slot.path for slot in getattr(network, "attention_slots", ())}
    ratios: dict[int, Tensor] = {}
    hooks = []

    def keep(stage: int) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            before, after = given[0], output[0] if isinstance(output, tuple) else output
            if before.shape == after.shape and before.ndim == 4:
                sizes = [one.float().abs().mean((2, 3)) for one in (after, before)]
                ratios[stage] = (sizes[0] / sizes[1].clamp_min(1e-6)).cpu()

        return hook

    training = network.training
    network.eval()
    try:
        hooks = [network.get_submodule(path).register_forward_hook(keep(stage)) for stage, path in slots.items()]
        network(images)
    finally:
        for one in hooks:
            one.remove()
        network.train(training)
    return [_stage(stage, gates, labels.cpu()) for stage, gates in sorted(ratios.items())]


def _stage(stage: int, gates: Tensor, labels: Tensor) -> StageGates:
    """Summarise gates (images, channels)."""
    classes = int(labels.max()) + 1
    present = torch.zeros(classes, len(labels)).index_put_((labels, torch.arange(len(labels))), torch.tensor(1.0))
    counts = present.sum(1).clamp_min(1)
    means = present @ gates / counts[:, None]
    shares = counts[:, None] / len(labels)
    spread = gates.var(0, unbiased=False)
    of_classes = (shares * (means - gates.mean(0)) ** 2).sum(0)
    moving = spread > 1e-10
    between = float((of_classes[moving] / spread[moving]).mean()) if moving.any() else 0.0
    kept = of_classes.argsort(descending=True)[:CHANNELS]
    return StageGates(
        stage=stage, channels=kept.tolist(), overall=round(float(gates.mean()), 4), between=round(between, 4),
        values=[[round(float(value), 3) for value in row] for row in means[:CLASSES, kept]],
        varying=round(float(spread.sqrt().mean()), 4),
    )  # fmt: skip
