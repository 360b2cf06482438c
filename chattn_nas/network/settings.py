"""The ``backbone`` section of a spec."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chattn_nas.settings import Settings
from chattn_nas.space import Backbone


class BackboneSettings(Settings):
    """A backbone, and how it is prepared.

    Attributes:
        model: Name of any convolutional timm model, ours included; ``hf_hub:...`` or ``local-dir:...`` as timm takes
            them; or ``module:function``, which returns an ``nn.Module``.
        options: Keyword arguments of ``timm.create_model``, or of the function.
        stages: Modules whose outputs end the stages, such as ``[layer1, layer2]``; by default those that timm's
            ``feature_info`` names, or the last before each shrinking of the map.
        existing: What happens to an attention that a slot already holds.
        head: ``isqrt_cov`` puts second-order pooling before the classifier.
        pretrained: Load timm's pretrained weights before attention is placed.
        weights: A local file of weights instead (``.safetensors``, ``.pth``, ``.ckpt``); wrappers and prefixes in it
            are recognised, and what does not fit is refused.
        freeze: ``stem`` and numbers of stages whose backbone is not trained; attention placed there is.
        layer_decay: Factor of the learning rate per stage towards the stem; 1 for the head and for attention.

    In a spec:
        model: resnet50
        options: {drop_path_rate: 0.1}
        stages: [layer1, layer2, layer3]
        existing: keep
        head: isqrt_cov
        pretrained: true
        weights: weights/mine.safetensors
        freeze: [stem, 1]
        layer_decay: 0.7  # factor per stage
    """

    model: str
    options: dict[str, Any] = {}
    stages: list[str] = []
    existing: Literal["replace", "keep"] = "replace"
    head: Literal["default", "isqrt_cov"] = "default"
    pretrained: bool = False
    weights: str | None = None
    freeze: list[Literal["stem"] | int] = []
    layer_decay: float = Field(default=1.0, gt=0, le=1)

    @property
    def backbone(self) -> Backbone:
        """The part that an architecture names."""
        return Backbone(self.model, self.options, self.existing, self.head, self.stages)
