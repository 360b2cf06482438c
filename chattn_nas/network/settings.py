"""The ``backbone`` section of a spec."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chattn_nas.settings import Settings
from chattn_nas.space import Backbone


class BackboneSettings(Settings):
    """A timm model, and how it is prepared.

    Attributes:
        model: Name of any convolutional timm model, ours included.
        options: Keyword arguments of ``timm.create_model``.
        existing: What becomes of an attention that a slot already holds.
        head: ``isqrt_cov`` puts second-order pooling before the classifier.
        pretrained: Load timm's pretrained weights before attention is placed.
        weights: A local file of weights instead.
        freeze: ``stem`` and numbers of stages whose backbone is not trained; attention placed there is.
        layer_decay: Factor of the learning rate per stage towards the stem; 1 for the head and for attention.
    """

    model: str
    options: dict[str, Any] = {}
    existing: Literal["replace", "keep"] = "replace"
    head: Literal["default", "isqrt_cov"] = "default"
    pretrained: bool = False
    weights: str | None = None
    freeze: list[Literal["stem"] | int] = []
    layer_decay: float = Field(default=1.0, gt=0, le=1)

    @property
    def backbone(self) -> Backbone:
        """The part that an architecture names."""
        return Backbone(self.model, self.options, self.existing, self.head)
