"""What is searched: the settings of every room, as one spec holds them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from chattn_nas.data import DataSettings
from chattn_nas.errors import InputError
from chattn_nas.network import BackboneSettings
from chattn_nas.proxy import ProxySettings
from chattn_nas.settings import Settings
from chattn_nas.space import SearchSpace, SpaceSettings
from chattn_nas.spec import TrainingSettings
from chattn_nas.spec.search_settings import SearchSettings

#: Fields that may change between two sessions of one run: old trials stay comparable with new ones.
FREE = (
    ("proxy", "device"),
    ("proxy", "cuda_graphs"),
    *(
        ("search", field)
        for field in (
            "engine", "sampler", "pruner", "reduction_factor", "trials", "storage", "workers", "trials_per_device",
            "devices", "max_seeds", "keep_checkpoints", "retries", "timeout", "memory",
            "nni_tuner", "nni_port", "nni_duration", "training_service",
        )
    ),
    *(("training", field) for field in TrainingSettings.model_fields),
)  # fmt: skip
#: Where data lie on a machine, not what they are.
PLACES = (("data", "path"), ("data", "root"), ("data", "download"))


class Spec(Settings):
    """A spec: what the user writes in YAML.

    Attributes:
        name: Of the run: ``runs/<name>``, and of the study.
        backbone, data, space, proxy, search, training: One section per room.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    backbone: BackboneSettings
    data: DataSettings
    space: SpaceSettings
    proxy: ProxySettings = ProxySettings()
    search: SearchSettings = SearchSettings()
    training: TrainingSettings = TrainingSettings()

    def search_space(self) -> SearchSpace:
        """The search space on this backbone.

        Raises:
            InputError: The backbone does not exist, or a stage cannot take a choice; ``where`` is the path of keys.
        """
        from chattn_nas.network import stages  # torch: a spec that is refused before needs none

        try:
            found = stages(self.backbone.backbone, image_size=self.data.image_size)
        except InputError as error:
            raise error.at("backbone") from None
        try:
            return SearchSpace(self.space, self.backbone.backbone, found)
        except InputError as error:
            raise error.at("space") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML; :meth:`from_dict` reads them back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spec:
        """From what :meth:`to_dict` gave, or from JSON that holds it: there the numbers of stages are texts."""
        space = {int(key) if str(key).isdigit() else key: entries for key, entries in data["space"].items()}
        return cls.model_validate({**data, "space": space})

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of all that trials must have in common to be compared; the same on every machine."""
        fixed = self._flat(leave_out=(*FREE, *PLACES))
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Spec) -> list[str]:
        """The fields, such as ``data.image_size``, that make trials of ``other`` incomparable with this spec's."""
        mine, theirs = self._flat(leave_out=FREE), other._flat(leave_out=FREE)
        return [field for field in {**theirs, **mine} if mine.get(field) != theirs.get(field)]

    def _flat(self, leave_out: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        full = self.to_dict()
        full.pop("name")
        return {
            f"{section}.{field}": value
            for section, fields in full.items()
            for field, value in fields.items()
            if (section, field) not in leave_out
        }
