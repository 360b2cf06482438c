"""The ``task`` section of a spec; a task that has more to say subclasses it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from chattn_nas.settings import Settings

CLASSIFICATION = "classification"


class TaskSettings(Settings):
    """The task: the kind of targets, the head, the loss.

    Attributes:
        type: ``classification``, ``multilabel``, ``segmentation``, ``detection``, ``super_resolution``, one that a
            package registered, or ``module:Class``. What else may stand here is its own.

    In a spec:
        type: classification
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})
    EXAMPLE: ClassVar[str] = "{type: segmentation}"

    type: str = CLASSIFICATION
