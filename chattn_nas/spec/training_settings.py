"""The ``training`` section of a spec: how the chosen network is trained at full length."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chattn_nas.proxy import ProxySettings
from chattn_nas.proxy.settings import Start
from chattn_nas.settings import Settings

#: Full length: this many times the search's last rung, in one cycle, where no number of epochs is given.
FULL = 4


class TrainingSettings(Settings):
    """The final training, on GPUs in bf16 autocast as the proxy.

    Keys that are left out are as in the proxy, under whose recipe the network was chosen.

    Attributes:
        epochs: In one cycle of ``proxy.scheduler``; ``None`` is four times the proxy's last rung.
        with_validation: Train on the validation images as well; then only the test set scores the network.
        batch_size: Images per step on all devices together; ``None`` takes the proxy's.
        learning_rate: Peak, for a batch of 128; ``None`` takes the proxy's.
        momentum: Momentum of SGD with Nesterov; ``None`` takes the proxy's.
        weight_decay: On weights only, as in the proxy; ``None`` takes the proxy's.
        label_smoothing: Label smoothing of the cross-entropy; ``None`` takes the proxy's.
        warmup: Part of the training in which the learning rate rises linearly; ``None`` takes the proxy's.
        start: How attention starts: ``unit``, ``official`` or ``identity``; ``None`` takes the proxy's.
        clip: Largest norm of the gradient; ``None`` takes the proxy's.
        mixup, cutmix: Alphas of mixup and CutMix; 0 is none, ``None`` takes the proxy's.
        drop_path: Rate of stochastic depth at the last block; 0 is none, ``None`` takes the proxy's.
        ema: Decay of a moving average of the weights, which is the result; 0 is none, ``None`` takes the proxy's.
        randaugment: Operations of RandAugment per image (Cubuk et al. 2020), 0 to 8; 0 is none.
        magnitude: Strength of these operations, 0 to 30.
        erasing: Probability of erasing a random rectangle of an image (Zhong et al. 2020).
        data_on: ``device`` holds the images on the training device, ``disk`` maps them from the cache and reads batches
            ahead, ``auto`` holds them there if they take at most half of the free memory.
        workers: Has no effect any more; specs of older runs may hold it.
        checkpoint_every: Epochs between two checkpoints.
        tensorboard: Write TensorBoard's event files beside ``log.csv``; needs the extra ``tensorboard``.

    In a spec:
        epochs: 100  # epochs
        with_validation: true
        batch_size: 256  # images
        learning_rate: 0.05  # for a batch of 128
        momentum: 0.9  # share
        weight_decay: 0.0001  # factor per step and learning rate
        label_smoothing: 0.1  # share
        warmup: 0.05  # share of the training
        start: identity
        clip: 1.0  # norm of the gradient
        mixup: 0.2  # alpha
        cutmix: 1.0  # alpha
        drop_path: 0.1  # probability
        ema: 0.999  # share kept per step
        randaugment: 2  # operations per image
        magnitude: 9  # 0 to 30
        erasing: 0.25  # probability
        data_on: disk
        workers: null  # processes
        checkpoint_every: 5  # epochs
        tensorboard: true
    """

    epochs: int | None = Field(default=None, ge=1)
    with_validation: bool = False
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    weight_decay: float | None = Field(default=None, ge=0)
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    warmup: float | None = Field(default=None, ge=0, lt=1)
    start: Start | None = None
    clip: float | None = Field(default=None, gt=0)
    mixup: float | None = Field(default=None, ge=0)
    cutmix: float | None = Field(default=None, ge=0)
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    ema: float | None = Field(default=None, ge=0, lt=1)
    randaugment: int = Field(default=0, ge=0, le=8)
    magnitude: int = Field(default=9, ge=0, le=30)
    erasing: float = Field(default=0.0, ge=0, le=1)
    data_on: Literal["auto", "device", "disk"] = "auto"
    workers: int | None = Field(default=None, ge=0)
    checkpoint_every: int = Field(default=1, ge=1)
    tensorboard: bool = False

    def recipe(self, proxy: ProxySettings) -> ProxySettings:
        """The proxy's settings with what is given here in their place, and all epochs as one rung."""
        fields = (
            "batch_size",
            "learning_rate",
            "momentum",
            "weight_decay",
            "label_smoothing",
            "warmup",
            "start",
            "clip",
            "mixup",
            "cutmix",
            "drop_path",
            "ema",
        )
        given = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        return proxy.model_copy(update=given | {"rungs": [self.epochs or FULL * proxy.rungs[-1]]})
