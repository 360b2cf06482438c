"""The training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from chattn_nas.data import TensorSet
from chattn_nas.proxy.auxiliary import WithAuxiliary, presence_loss
from chattn_nas.proxy.average import Average
from chattn_nas.tasks.task import Criterion, Task

#: Turns a batch of uint8 images into what the network takes, and its targets into what the loss compares.
Prepare = Callable[[TensorSet], tuple[Tensor, Tensor]]


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Use bf16 on CUDA, which is fast at it; CPUs without AMX are 10 times slower in it than in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class TrainingStep:
    """One training step: augmentation, forward, backward, update, all on the device without waiting for it.

    Args:
        network: In train mode, on the device.
        optimizer: The optimiser of its parameters.
        prepare: Augments and normalises, on the device.
        task: The task, which knows the classes that are present in targets.
        criterion: The loss.
        accumulate: Number of parts that a batch is split into, to save memory: the gradient is that of the whole
            batch, batch statistics are those of the parts.
        clip: Largest norm of the gradient, if any.
        average: Moving average of the weights, updated with every step.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        prepare: Prepare,
        *,
        task: Task,
        criterion: Criterion,
        accumulate: int = 1,
        clip: float | None = None,
        average: Average | None = None,
    ) -> None:
        self.network, self.optimizer, self.prepare = network, optimizer, prepare
        self.criterion, self.presence = criterion, task.presence
        self.accumulate, self.clip, self.average = accumulate, clip, average
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.outputs: nn.Module = WithAuxiliary(network)

    def __call__(self, batch: TensorSet) -> Tensor:
        """Train on one batch; return the mean loss, a tensor on the device."""
        images, targets = self.prepare(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        parts, of_parts = images.chunk(self.accumulate), targets.chunk(self.accumulate)
        for part, target, share in zip(parts, of_parts, self._shares(of_parts), strict=True):
            loss, auxiliary = self.loss(part, target)
            loss = loss if len(parts) == 1 else loss * share
            (loss + auxiliary * (len(part) / len(images))).backward()
            losses.append(loss.detach())
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _shares(self, targets: Sequence[Tensor]) -> list[Tensor | float]:
        """The weight of the mean loss of every part, so that their sum is the mean over the whole batch."""
        if len(targets) == 1:
            return [1.0]
        weight = getattr(self.criterion, "weight", None)
        if not callable(weight):  # the loss does not say; in torch's own it is a tensor of class weights
            weight = len
        weights = [weight(part) for part in targets]
        return [one / sum(weights) for one in weights]

    def loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """The task's loss of normalised images (B, C, H, W).

        The loss of auxiliary heads comes second: it is trained on but not reported, so that networks with such a head
        are compared by the same loss as the others.
        """
        with autocast(images.device):
            output, heard = self.outputs(images)
        loss = self.criterion(output, targets)
        return loss, presence_loss(heard, self.presence(targets)) if heard else 0.0
