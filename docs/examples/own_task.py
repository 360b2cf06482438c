"""A task of your own: how bright an image is, told from its pixels.

python docs/examples/own_task.py
"""

# %% A task says what a batch is prepared to, the loss, the score, and its unit; see docs/extending.md.
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas import Spec, search
from chattn_nas.data import TensorSet
from chattn_nas.tasks import Task
from chattn_nas.tasks.shown import Shown, coloured
from chattn_nas.unit import Unit


class Brightness(Task):
    unit = Unit(name="closeness", title="closeness", unit="%", scale=100)
    classes = False

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        return network

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return super().prepare(batch, generator)[0], brightness(batch.images)

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Any:
        return lambda output, targets: (output.float().mean(1) - targets).square().mean()

    def scorer(self, images: int, device: torch.device) -> Any:
        return Closeness(self, images, device)

    def show(self, output: Tensor, images: Tensor, targets: Tensor) -> list[Shown]:
        told = zip(coloured(images), output.float().mean(1), brightness(images), strict=True)
        return [Shown((("image", image),), f"{float(said):.2f}; it is {float(true):.2f}") for image, said, true in told]


def brightness(images: Tensor) -> Tensor:
    return images.float().mean((1, 2, 3)) / 255


class Closeness:
    """Sums in a buffer that stays where it is; the images of the set tell what is true."""

    def __init__(self, task: Brightness, images: int, device: torch.device) -> None:
        self.truth = brightness(task.data.validation.images).to(device)
        self.images, self.total = images, torch.zeros((), device=device)

    def reset(self) -> None:
        self.total.zero_()

    def add(self, output: Tensor, targets: Tensor, rows: Tensor) -> None:
        self.total += (output.float().mean(1) - self.truth[rows]).abs().sum()

    def result(self) -> tuple[float, float]:
        away = float(self.total) / self.images
        return 1 / (1 + away), away

    def figures(self) -> dict[str, Any]:
        return {}


# %%
SPEC = {
    "name": "own-task",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "task": {"type": "own_task:Brightness"},
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [1], "device": "cpu"},
    "search": {"trials": 5, "workers": 0},
}

# %%
if __name__ == "__main__":
    print(search(Spec.from_dict(SPEC), progress=False).best())
