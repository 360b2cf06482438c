"""The YAML spec: composed of each room's settings, read with line numbers, checked before anything is spent."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.spec.judging_settings import JudgingSettings as JudgingSettings
    from chattn_nas.spec.load import load_spec as load_spec
    from chattn_nas.spec.search_settings import SearchSettings as SearchSettings
    from chattn_nas.spec.spec import Spec as Spec
    from chattn_nas.spec.training_settings import TrainingSettings as TrainingSettings

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".judging_settings": "JudgingSettings",
        ".load": "load_spec",
        ".search_settings": "SearchSettings",
        ".spec": "Spec",
        ".training_settings": "TrainingSettings",
    },
)
