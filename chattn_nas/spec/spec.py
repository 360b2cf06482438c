"""The whole spec: the settings of every room."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from chattn_nas.data import DataSettings
from chattn_nas.errors import InputError
from chattn_nas.network import BackboneSettings
from chattn_nas.parts import is_path
from chattn_nas.proxy import ProxySettings
from chattn_nas.settings import Settings
from chattn_nas.space import NONE, SearchSpace, SpaceSettings
from chattn_nas.space.idle import same_but_idle
from chattn_nas.space.settings import ALL
from chattn_nas.spec import TrainingSettings
from chattn_nas.spec.judging_settings import JudgingSettings
from chattn_nas.spec.plugins import import_first
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.stored import check_format
from chattn_nas.tasks.registry import find as find_task
from chattn_nas.tasks.settings import CLASSIFICATION, TaskSettings

#: Fields that may change between two sessions of one run: old trials stay comparable with new ones.
FREE = (
    ("proxy", "device"),
    ("proxy", "cuda_graphs"),
    ("proxy", "data_on"),
    *(
        ("search", field)
        for field in (
            "engine", "sampler", "pruner", "reduction_factor", "pass_at_random", "trials", "storage", "workers",
            "trials_per_device", "devices", "max_seeds", "keep_checkpoints", "retries", "timeout", "memory",
            "nni_tuner", "nni_port", "nni_duration", "training_service", "log_to", "one_shot", "one_shot_epochs",
        )
    ),
    *(("training", field) for field in TrainingSettings.model_fields),
    *(("judging", field) for field in JudgingSettings.model_fields),
)  # fmt: skip
#: Format of a stored spec; a change of meaning increases it and converts the old form in :meth:`Spec.from_stored`.
FORMAT = 1
#: Keys of earlier versions that are still understood.
EARLIER = {"backbone": ("identity_init",)}
#: Where data lie on a machine, not what they are.
PLACES = tuple(("data", field) for field in ("path", "root", "download", "cache", "cache_limit"))
#: Fields that came after the first runs: one that is left at its default leaves the hash as it was.
LATER = (
    *(
        ("data", field)
        for field in (
            "options", "image_column", "label_column", "multilabel", "channel_axis", "resize", "background", "channels",
            "range", "classes", "bad_files", "test", "metric", "class_weights", "sampling", "augment",
        )
    ),
    ("backbone", "stages"),
    ("task", "type"),
    ("proxy", "optimizer"),
    ("proxy", "loss"),
    ("proxy", "scheduler"),
    ("proxy", "clip"),
    *(("proxy", field) for field in ("mixup", "cutmix", "drop_path", "ema")),
)  # fmt: skip


def _a_name(text: str) -> str:
    """Check a run's name, which is also that of a folder and a study: no path, nothing that a shell would split."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError(
            "a name is made of letters (a to z, A to Z), digits, '.', '_' and '-', and starts with a letter or digit"
        )
    return text


def _a_path(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:\w+", text):
        raise ValueError("a trainer is named as module:Class")
    return text


def stored(spec: Spec) -> dict[str, Any]:
    """A spec in the form that a study and a run's ``spec.yaml`` store."""
    return {"format": FORMAT, **spec.to_dict()}


class Spec(Settings):
    """A spec: what the user writes in YAML.

    Attributes:
        name: Names the run, ``runs/<name>``, and its study.
        backbone: The network that attention is placed in, and how it is prepared.
        data: The images, how they are read, split and scored.
        task: What is learned.
        space: The possible attentions per stage.
        proxy: How one network of the search is trained and scored.
        search: How many trials, proposed how, trained where.
        training: How the chosen network is trained at full length.
        judging: What a difference must be worth.
        trainer: ``module:Class`` of your own training, in place of the proxy's: it builds, counts and trains
            every network of the search and the confirmation, and reports rungs.
        imports: Modules that are imported first, in every process: they may register attentions, backbones, data sets.
            They are looked for in the spec's folder as well.

    In a spec:
        name: first
        backbone: {model: cifar_resnet8}
        data: {dataset: digits}
        task: {type: classification}
        space: {all: [none, se, eca]}
        proxy: {rungs: [2, 6]}
        search: {trials: 24}
        training: {epochs: 100}
        judging: {useful: 0.3}
        trainer: my_trainer:Mine
        imports: [my_attention]
    """

    name: Annotated[str, Field(max_length=200), AfterValidator(_a_name)]
    backbone: BackboneSettings
    data: DataSettings
    task: SerializeAsAny[TaskSettings] = TaskSettings()
    space: SpaceSettings
    proxy: ProxySettings = ProxySettings()
    search: SearchSettings = SearchSettings()
    training: TrainingSettings = TrainingSettings()
    judging: JudgingSettings = JudgingSettings()
    trainer: Annotated[str, AfterValidator(_a_path)] | None = None
    imports: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _earlier_key(cls, data: Any) -> Any:
        """Convert ``backbone.identity_init`` of earlier specs, whose only other start was the official one."""
        backbone = data.get("backbone") if isinstance(data, dict) else None
        if not isinstance(backbone, dict) or "identity_init" not in backbone:
            return data
        proxy = data.get("proxy") or {}
        start = "identity" if backbone["identity_init"] else "official"
        if isinstance(proxy, dict) and proxy.get("start", start) != start:
            raise InputError(
                f"backbone.identity_init: {str(backbone['identity_init']).lower()} and proxy.start: {proxy['start']} "
                "contradict each other; leave the former out",
                where=("backbone", "identity_init"),
            )
        rest = {key: value for key, value in backbone.items() if key != "identity_init"}
        return {**data, "backbone": rest, "proxy": {**proxy, "start": start} if isinstance(proxy, dict) else proxy}

    @model_validator(mode="before")
    @classmethod
    def _task_with_its_recipe(cls, data: Any) -> Any:
        """Read the section ``task`` with its task's own class, and give the proxy the task's defaults."""
        given = data.get("task") if isinstance(data, dict) else None
        if isinstance(given, dict) and given.get("type", CLASSIFICATION) != CLASSIFICATION:
            import_first(data.get("imports") or [])
            try:
                task = find_task(str(given["type"]))
                given = task.Settings.model_validate(given)
            except InputError as error:
                raise error.at("task") from None
            suits: dict[str, dict[str, Any]] = {"proxy": dict(task.recipe), "judging": {"useful": task.useful}}
            for section, fields in suits.items():
                held = data.get(section) or {}
                if isinstance(held, dict):
                    data = {**data, section: {**fields, **held}}
            data = {**data, "task": given}
        return data

    @model_validator(mode="after")
    def _trained_branches_stay(self) -> Spec:
        trained = self.backbone.pretrained or self.backbone.weights is not None
        if trained and self.proxy.branch_scale != 1:
            raise InputError(
                "proxy.branch_scale would change the branches of a trained backbone: leave it at 1",
                where=("proxy", "branch_scale"),
            )
        return self

    def search_space(self) -> SearchSpace:
        """The search space on this backbone.

        Raises:
            InputError: The backbone does not exist, or a stage cannot take a choice; ``where`` is the path of keys.
        """
        import_first(self.imports)
        from chattn_nas.network import stages  # torch: a spec that is refused before needs none
        from chattn_nas.network.layout import every_slot_is_kept

        try:
            backbone_stages = stages(self.backbone.backbone, image_size=self.data.image_size)
            if not backbone_stages and self.space.candidates(1)[0] != SpaceSettings({ALL: [NONE]}).candidates(1)[0]:
                raise every_slot_is_kept(self.backbone.backbone)
        except InputError as error:
            raise error.at("backbone") from None
        try:
            return SearchSpace(self.space, self.backbone.backbone, backbone_stages)
        except InputError as error:
            raise error.at("space") from None

    def started_as(self, other: Spec) -> Spec:
        """Take of ``other``, with which a run was begun, what an earlier version took and this one does not.

        That is the start if this spec names none, since the default changed on 2026-11-26, and the space if it has
        beside the same entries settings without effect, which are refused since 2026-11-28.
        """
        taken: dict[str, Any] = {}
        if "start" not in self.proxy.model_fields_set:
            taken["proxy"] = self.proxy.model_copy(update={"start": other.proxy.start})
        if self.space != other.space and same_but_idle(self.space, other.space):
            taken["space"] = other.space
        return self.model_copy(update=taken)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML; :meth:`from_dict` reads them back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spec:
        """Read a spec from plain values, such as those of :meth:`to_dict` or JSON.

        Raises:
            InputError: It is no spec.
        """
        return cls.model_validate(data)

    @classmethod
    def from_stored(cls, data: Any, *, imports: bool = True) -> Spec:
        """Read what :func:`stored` wrote, in this version of the package or another.

        Unknown keys are ignored; keys that an older version did not write get that version's defaults.

        Args:
            data: The stored values.
            imports: ``False`` imports nothing that the spec names, so only the type of ``task`` is read.

        Raises:
            InputError: It is no spec.
            RunError: A newer version wrote it in a format that this one does not know.
        """
        if not isinstance(data, dict):
            raise InputError(f"a stored spec is a mapping, not {type(data).__name__}")
        check_format(data, FORMAT, "the spec of this run")
        plain = {key: value for key, value in data.items() if key in cls.model_fields}
        for section, fields in list(plain.items()):
            model = cls.model_fields[section].annotation
            if (
                isinstance(fields, dict)
                and isinstance(model, type)
                and issubclass(model, Settings)
                and section != "task"
            ):
                known = {*model.model_fields, *EARLIER.get(section, ())}
                plain[section] = {key: value for key, value in fields.items() if key in known}
        if not imports and isinstance(plain.get("task"), dict):
            plain["task"] = TaskSettings(type=str(plain["task"].get("type", CLASSIFICATION)))
        return cls.from_dict(plain)

    @property
    def metric(self) -> str:
        """Name of the metric, as far as the spec determines it."""
        if self.data.metric is not None:
            return self.data.metric.rpartition(":")[2]
        if self.task.type == CLASSIFICATION:
            return "accuracy"
        return next(iter(find_task(self.task.type).metrics), "score")

    @property
    def own_parts(self) -> dict[tuple[str | int, ...], str]:
        """Parts named as ``module:name``, by place, except attentions, which the space knows."""
        named: dict[tuple[str | int, ...], str | None] = {
            ("backbone", "model"): self.backbone.model,
            ("trainer",): self.trainer,
            ("task", "type"): self.task.type,
            **{("data", key): getattr(self.data, key) for key in ("dataset", "metric", "augment")},
            **{("proxy", key): getattr(self.proxy, key) for key in ("loss", "optimizer", "scheduler")},
            **{("search", key): getattr(self.search, key) for key in ("sampler", "pruner")},
            **{("search", "log_to", index): name for index, name in enumerate(self.search.log_to)},
        }
        return {where: name for where, name in named.items() if name is not None and is_path(name)}

    @property
    def hash(self) -> str:
        """12 hexadecimal digits for everything that comparable trials have in common; the same on every machine."""
        fixed = self._flat(leave_out=(*FREE, *PLACES))
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Spec) -> list[str]:
        """The fields, such as ``data.image_size``, that make trials of ``other`` incomparable with this spec's."""
        out = (*FREE, *PLACES)  # whether other places hold the same data is seen from their content
        mine, theirs = self._flat(leave_out=out), other._flat(leave_out=out)
        return [field for field in {**theirs, **mine} if mine.get(field) != theirs.get(field)]

    def _flat(self, leave_out: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        full = self.to_dict()
        full.pop("name")
        own = {} if self.trainer is None else {"trainer": self.trainer}
        return own | {
            f"{section}.{field}": value
            for section, fields in full.items()
            if isinstance(fields, dict)
            for field, value in fields.items()
            if (section, field) not in leave_out
            and not ((section, field) in LATER and value == _default(section, field))
        }


def _default(section: str, field: str) -> Any:
    model = Spec.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, Settings)
    return model.model_fields[field].get_default(call_default_factory=True)
