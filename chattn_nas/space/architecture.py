"""An architecture: a backbone and, per stage, the attention it gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import yaml

from chattn_nas import attention
from chattn_nas.arguments import checked, plain
from chattn_nas.attention import BLOCKS, Blocks, Placement
from chattn_nas.errors import InputError, first_line
from chattn_nas.plural import plural
from chattn_nas.space.stage import SlotShape, Stage, of_one_width

NONE = "none"
#: What happens to an attention that a slot already holds, and the pooling before the classifier.
EXISTING, HEADS = ("replace", "keep"), ("default", "isqrt_cov")


def _frozen(value: Any) -> Any:
    """Make plain values hashable: lists become tuples, mappings sorted pairs."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


@dataclass(frozen=True)
class Backbone:
    """A timm model as the architecture names it.

    Args:
        model: Name of a timm model, ours included (``cifar_resnet8``, ...), or ``module:function``.
        options: Keyword arguments of ``timm.create_model``, or of the function.
        existing: What happens to an attention that a slot already holds: ``replace`` or ``keep``.
        head: ``default``, or ``isqrt_cov`` for second-order pooling before the classifier.
        stages: Modules whose outputs end the stages, instead of those that the model declares.
    """

    model: str
    options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    existing: str = "replace"
    head: str = "default"
    stages: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.model, str):
            raise InputError(f"a backbone is named by a text, not {self.model!r}", where=("model",))
        try:
            options = plain(dict(self.options))
            object.__setattr__(self, "options", _frozen(options))
            hash(self.options)
        except (TypeError, ValueError):
            raise InputError(
                f"options are a mapping of plain values, not {self.options!r}", where=("options",)
            ) from None
        if odd := [key for key in options if not isinstance(key, str)]:
            raise InputError(f"options are named by texts, not {odd[0]!r}", where=("options",))
        for name, possible in (("existing", EXISTING), ("head", HEADS)):
            value = getattr(self, name)
            if value not in possible:
                raise InputError(f"{name} cannot be {value!r}", where=(name,), value=value, choices=possible)
        if isinstance(self.stages, str) or not isinstance(self.stages, Sequence):
            raise InputError(f"stages are a list of modules' names, not {self.stages!r}", where=("stages",))
        object.__setattr__(self, "stages", tuple(self.stages))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, defaults left out; :meth:`from_dict` reads them back."""
        full = {"model": self.model, "options": dict(self.options), "existing": self.existing, "head": self.head}
        full |= {"stages": list(self.stages)}
        usual: dict[str, Any] = {"options": {}, "existing": "replace", "head": "default", "stages": []}
        return {key: value for key, value in full.items() if key not in usual or value != usual[key]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | str) -> Backbone:
        """Read a backbone from :meth:`to_dict`, or from just the name of a model.

        Raises:
            InputError: It is neither.
        """
        if isinstance(data, str):
            return cls(data)
        known = [field.name for field in fields(cls)]
        if not isinstance(data, Mapping) or "model" not in data:
            raise InputError(f"a backbone is a model's name, or a mapping that holds one under 'model', not {data!r}")
        if unknown := [key for key in data if key not in known]:
            raise InputError(f"a backbone has no key {unknown[0]!r}", value=unknown[0], choices=known)
        return cls(**data)


@dataclass(frozen=True)
class StageChoice:
    """The attention of one stage.

    Args:
        type: Name of a registered attention type, or ``module:Class``.
        hyperparameters: Values that differ from the defaults; all are stored.
        placement: Where in a block; ``None`` takes the type's own.
        blocks: In which blocks of the stage; ``None`` takes the type's own.

    Raises:
        InputError: The type, a hyperparameter or the placement is unknown, or a value is outside its domain.
    """

    type: str = NONE
    hyperparameters: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    placement: Placement | None = None
    blocks: Blocks | None = None

    def __post_init__(self) -> None:
        kind = attention.get(self.type)
        try:
            given = plain(dict(self.hyperparameters))
        except (TypeError, ValueError):
            raise InputError(f"hyperparameters are a mapping, not {self.hyperparameters!r}") from None
        object.__setattr__(self, "hyperparameters", _frozen(kind.complete(given)))
        for name, possible, own in (
            ("placement", kind.placements, kind.placement),
            ("blocks", BLOCKS, kind.blocks),
        ):
            value = getattr(self, name) or own
            if value not in possible:
                raise InputError(
                    f"{self.type} cannot have {name} {value!r}", where=(name,), value=value, choices=possible
                )
            object.__setattr__(self, name, value)

    @property
    def values(self) -> dict[str, Any]:
        """The hyperparameters as a dictionary."""
        return dict(self.hyperparameters)

    def canonical(self, stage: Stage) -> StageChoice:
        """One form for every choice that builds the very same modules in ``stage``.

        Raises:
            InputError: The stage cannot take this choice.
        """
        if self.type == NONE:
            return StageChoice()
        kind = attention.get(self.type)
        slots = self.slots(stage)
        for slot in slots:
            kind.check(*slot.site, self.values)
        values = kind.canonical(self.values, [slot.site for slot in slots])
        forms = (StageChoice(self.type, values, self.place(stage), blocks) for blocks in BLOCKS)
        return next(form for form in forms if form.slots(stage) == slots)

    def place(self, stage: Stage) -> Placement:
        """The placement of this choice in ``stage``; a type's own place falls back to ``before_add``."""
        own = attention.get(self.type).placement
        placement = cast(Placement, self.placement)
        return "before_add" if placement == own and own not in stage.places else placement

    def slots(self, stage: Stage) -> tuple[SlotShape, ...]:
        """The slots of ``stage`` that this choice fills.

        Raises:
            InputError: The stage lacks the placement.
        """
        return () if self.type == NONE else stage.slots(self.place(stage), cast(Blocks, self.blocks))

    def cost(self, stage: Stage) -> tuple[int, int]:
        """Parameters and MACs per sample that this choice adds to ``stage``, from the type's closed formulas."""
        kind = attention.get(self.type)
        slots = self.slots(stage)
        sites = [slot.site for slot in slots]
        built = [run[0].site for run in of_one_width(slots)] if kind.scope == "stage" else sites
        return (
            sum(kind.parameters(*site, self.values) for site in built),
            sum(kind.macs(*site, self.values) for site in sites),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``type``, the hyperparameters, and the place where it is not the type's own."""
        kind = attention.get(self.type)
        place = {"placement": self.placement, "blocks": self.blocks}
        own = {"placement": kind.placement, "blocks": kind.blocks}
        return {"type": self.type, **self.values, **{k: v for k, v in place.items() if v != own[k]}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | str) -> StageChoice:
        """Read a choice from :meth:`to_dict`, or from just the name of a type.

        Raises:
            InputError: It is neither.
        """
        if not isinstance(data, str) and (not isinstance(data, Mapping) or "type" not in data):
            raise InputError(f"the choice of a stage is a type's name, or a mapping with a 'type', not {data!r}")
        values: dict[str, Any] = {"type": data} if isinstance(data, str) else dict(data)
        return cls(values.pop("type"), placement=values.pop("placement", None), blocks=values.pop("blocks", None),
                   hyperparameters=values)  # fmt: skip

    def __str__(self) -> str:
        defaults = {"type": self.type, **attention.get(self.type).defaults}
        settings = [f"{key}={value}" for key, value in self.to_dict().items() if value != defaults.get(key)]
        return f"{self.type}({', '.join(settings)})" if settings else self.type


@dataclass(frozen=True)
class Architecture:
    """A backbone and one choice per stage; a single choice stands for every stage.

    Frozen, hashable, and plain in JSON and YAML (:meth:`to_dict`, :meth:`from_dict`).
    """

    backbone: Backbone
    stages: tuple[StageChoice, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.backbone, Backbone):
            raise InputError(f"backbone must be a Backbone, not {self.backbone!r}", where=("backbone",))
        if not isinstance(self.stages, tuple) or not all(isinstance(one, StageChoice) for one in self.stages):
            raise InputError(f"stages must be a tuple of StageChoice, not {self.stages!r}", where=("stages",))

    @classmethod
    def uniform(cls, backbone: Backbone | Mapping[str, Any] | str, type: str, **hyperparameters: Any) -> Architecture:
        """An architecture with the same attention in every stage.

        Args:
            backbone: A timm model's name, or a mapping ``{"model": ..., "options": {...}}``.
            type: Attention type.
            hyperparameters: Hyperparameters of the type; also ``placement`` and ``blocks``.
        """
        if not isinstance(backbone, Backbone):
            backbone = Backbone.from_dict(backbone)
        return cls(backbone, (StageChoice.from_dict({"type": type, **hyperparameters}),))

    @checked
    def choices(self, stages: int) -> tuple[StageChoice, ...]:
        """One choice per stage for a backbone of that many stages.

        Raises:
            InputError: The architecture names another number of stages.
        """
        if len(self.stages) == 1:
            return self.stages * stages
        if len(self.stages) != stages:
            raise InputError(
                f"the architecture has {plural(len(self.stages), 'stage')}, {self.backbone.model} has {stages}"
            )
        return self.stages

    @checked
    def canonical(self, stages: Sequence[Stage]) -> Architecture:
        """One form for all architectures that build the very same network on a backbone with these stages.

        Raises:
            InputError: A stage cannot take its choice; ``where`` starts with the stage's number, from 1.
        """
        forms = []
        for number, (choice, stage) in enumerate(zip(self.choices(len(stages)), stages, strict=True), 1):
            try:
                forms.append(choice.canonical(stage))
            except InputError as error:
                error.where = (number, choice.type, *error.where)
                raise
        return Architecture(self.backbone, tuple(forms))

    @property
    def hash(self) -> str:
        """12 hexadecimal digits; for canonical forms, equal hashes mean equal networks."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML."""
        return {"backbone": self.backbone.to_dict(), "stages": [choice.to_dict() for choice in self.stages]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Read an architecture from :meth:`to_dict`, or from JSON or YAML that holds one.

        Raises:
            InputError: It is no architecture, or a stage has a choice that does not exist.
        """
        try:
            backbone, choices = data["backbone"], list(data["stages"])
        except (KeyError, TypeError):
            raise InputError(f"an architecture is a mapping with backbone and stages, not {data!r}") from None
        return cls(Backbone.from_dict(backbone), tuple(StageChoice.from_dict(choice) for choice in choices))

    def to_yaml(self) -> str:
        """The architecture as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> Architecture:
        """Read an architecture from :meth:`to_yaml`.

        Raises:
            InputError: It is no YAML, or no architecture.
        """
        try:
            data = yaml.safe_load(text)
        except (yaml.YAMLError, AttributeError) as error:
            raise InputError(f"an architecture is written in YAML, and this is not YAML: {first_line(error)}") from None
        return cls.from_dict(data)

    def __str__(self) -> str:
        return " | ".join(str(choice) for choice in self.stages)
