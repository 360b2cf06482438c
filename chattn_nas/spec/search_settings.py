"""The ``search`` section of a spec: how many trials, proposed how, judged by what, trained where."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chattn_nas.credentials import hide, keep_password
from chattn_nas.errors import InputError
from chattn_nas.network.constraints import COSTS, Constraint
from chattn_nas.plural import repeated
from chattn_nas.proxy.settings import DeviceName
from chattn_nas.settings import Settings

Objective = Literal["accuracy", "score", "parameters", "macs", "latency"]
SAMPLERS = ("random", "grid", "pooled", "tpe", "gp", "nsga2", "nsga3", "cmaes")
PRUNERS = ("successive_halving", "hyperband", "pooled", "none")
#: A sampler, pruner or logger of somebody else, as it is named and as it is matched.
PATHS = ("module:Class", "optunahub:NAME")
_PATH = r"[A-Za-z_][\w.]*:[\w./-]+"
NniTuner = Literal["tpe", "evolution", "random", "grid", "regularized_evolution", "optuna"]
LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")
LOCAL = {"platform": "local"}


def _without_secrets(service: dict[str, Any]) -> dict[str, Any]:
    hidden: dict[str, Any] = hide("training_service", service)
    return hidden


def _named_or_by_path(names: tuple[str, ...], others: tuple[str, ...], value: str) -> str:
    if value not in names and not re.fullmatch(_PATH, value):
        possible = ", ".join(f"'{name}'" for name in (*names, *others))
        raise PydanticCustomError("literal_error", "possible: {expected}", {"expected": possible})
    return value


def _schema_of(names: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": f"^{_PATH}$"}]})


SamplerName = Annotated[str, AfterValidator(partial(_named_or_by_path, SAMPLERS, PATHS)), _schema_of(SAMPLERS)]
LogTo = Annotated[str, AfterValidator(partial(_named_or_by_path, LOGGERS, PATHS[:1])), _schema_of(LOGGERS)]
PrunerName = Annotated[str, AfterValidator(partial(_named_or_by_path, PRUNERS, PATHS)), _schema_of(PRUNERS)]


class SearchSettings(Settings):
    """Many trials.

    Attributes:
        engine: What runs the search; ``nni`` is Microsoft's NNI 3.0 (``pip install "chattn-nas[nni]"``); with ``ray``
            (``pip install "chattn-nas[ray]"``) Optuna asks and tells in this process and Ray places the trainings.
        sampler: What proposes architectures; ``pooled`` uses the model that also decides, ``grid`` takes every
            different network once, in random order. Any other Optuna sampler by path: ``module:Class`` (or a function
            that makes one; a ``seed`` and the ``space`` are handed over where it takes them), or ``optunahub:NAME``
            (``pip install "chattn-nas[optunahub]"``).
        pruner: What stops trials at a rung; baselines are never stopped. ``pooled`` stops trials that can hardly become
            the best, by the model that decides (with one objective). Others by path, as for ``sampler``; they see
            the rungs' epochs.
        reduction_factor: At each rung, one in this many trials goes on.
        pass_at_random: Share of the trials stopped at a rung that go on at random, so that types that learn slowly at
            first are also trained to the end.
        trials: Number of trials of the whole run, baselines included. Networks refused for their costs are free and do
            not count.
        objectives: ``score`` (or ``accuracy``), by whatever metric, is maximised, costs are minimised; several make a
            multi-objective study.
        constraints: Upper bounds on costs, ``"<= 1.05x"`` of the backbone without attention, or ``"<= 300k"``.
        seed: Seeds the sampler; also the first training seed of every architecture, replicates take the next ones.
        storage: URL of an Optuna storage; ``None`` is an SQLite file in the run's directory. A password in it is used
            and never written: later commands take it from ``CHATTN_NAS_STORAGE_PASSWORD``, from ``PGPASSWORD`` or
            ``PGPASSFILE``, or ask for it. ``{run}`` is the run's directory.
        workers: Worker processes; ``None`` is one per device slot, ``0`` trains in this process. With Ray: trials at a
            time, by default as many as the cluster has room for.
        trials_per_device: Slots of one device.
        devices: ``cpu``, ``cuda:0``, ...; ``None`` takes every GPU that is visible, else the CPU.
        max_seeds: How often an architecture is trained, each time on another seed; after that it is answered from the
            record.
        keep_checkpoints: How many architectures keep their weights on disk, the best by mean accuracy.
        retries: How often a trial whose worker died or hung is returned to the queue.
        timeout: Seconds that one trial may take.
        memory: GiB that one worker may take.
        nni_tuner: What proposes architectures in NNI; ``optuna`` uses the sampler of this spec.
        nni_port: Port of NNI's web page, which listens on all interfaces without a login; a free one by default.
        nni_duration: Seconds after which NNI is stopped, whatever its status.
        log_to: Where else every trial is logged, one run each: ``csv``, ``tensorboard``, ``wandb``, ``mlflow``,
            into the run's directory unless the environment says otherwise (``WANDB_MODE``, ``MLFLOW_TRACKING_URI``); or
            ``module:Class``, a ``Callback`` that is called with the run.
        one_shot: Before the first trial, train one network that holds every choice of the space, with shared weights.
            Its ranking orders the first trials and is one feature of the model of ``sampler: pooled``, as long as it
            agrees with real trainings. It decides nothing. It is trained in the process that searches, on the first of
            its devices. On probation: ``docs/cost.md``.
        one_shot_epochs: Length of that training; ``None`` takes the proxy's, and more in proportion where a stage has
            more than six choices.
        training_service: Where NNI runs trials, as in its own configuration (``platform: remote``, ...); this machine
            by default.

    In a spec:
        engine: ray
        sampler: gp
        pruner: hyperband
        reduction_factor: 3  # trials per trial that goes on
        pass_at_random: 0.1  # share
        trials: 48  # trials
        objectives: [accuracy, macs]
        constraints: {parameters: "<= 1.02x"}  # x of the bare backbone, or counts (k, M, G), or ms
        seed: 1
        storage: postgresql://user@host/studies
        workers: 4  # processes
        trials_per_device: 2  # workers
        devices: [cuda:0, cuda:1]
        max_seeds: 3  # trainings per network
        keep_checkpoints: 5  # networks
        retries: 1  # times
        timeout: 600  # seconds
        memory: 8  # GiB
        nni_tuner: evolution
        nni_port: 8081
        nni_duration: 3600  # seconds
        log_to: [csv, tensorboard]
        one_shot: true
        one_shot_epochs: 30  # epochs
        training_service: {platform: local}
    """

    engine: Literal["optuna", "nni", "ray"] = "optuna"
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "successive_halving"
    reduction_factor: int = Field(default=3, ge=2)
    pass_at_random: float = Field(default=0.1, ge=0, le=1)
    trials: int = Field(default=24, ge=1, le=10_000_000)
    objectives: Annotated[list[Objective], Field(min_length=1)] = ["accuracy"]
    constraints: dict[Literal["parameters", "macs", "latency"], str] = {}
    seed: int = Field(default=0, ge=0, lt=2**31)
    storage: Annotated[str, AfterValidator(keep_password)] | None = None
    workers: int | None = Field(default=None, ge=0, le=1024)
    trials_per_device: int = Field(default=1, ge=1, le=256)
    devices: Annotated[list[DeviceName], Field(min_length=1)] | None = None
    max_seeds: int = Field(default=3, ge=1, le=10_000)
    keep_checkpoints: int = Field(default=5, ge=0)
    retries: int = Field(default=1, ge=0)
    timeout: float | None = Field(default=None, gt=0)
    memory: float | None = Field(default=None, gt=0)
    nni_tuner: NniTuner = "tpe"
    nni_port: int | None = Field(default=None, ge=1024, le=65534)
    nni_duration: float | None = Field(default=None, gt=0)
    log_to: list[LogTo] = []
    one_shot: bool = False
    one_shot_epochs: int | None = Field(default=None, ge=1)
    training_service: Annotated[dict[str, Any], AfterValidator(_without_secrets)] = LOCAL

    @field_validator("objectives", mode="before")
    @classmethod
    def _score(cls, objectives: Any) -> Any:
        """``score`` and ``accuracy`` are one: what ``data.metric`` and the task say; stored is the older name."""
        if not isinstance(objectives, list):
            return objectives
        return ["accuracy" if one == "score" else one for one in objectives]

    @field_validator("objectives")
    @classmethod
    def _distinct(cls, objectives: list[Objective]) -> list[Objective]:
        if (twice := repeated(objectives)) is not None:
            raise ValueError(f"{twice!r} is listed twice")
        if "accuracy" not in objectives:
            raise ValueError("score must be among the objectives: costs alone are known without training")
        return objectives

    @field_validator("constraints")
    @classmethod
    def _readable(cls, constraints: dict[str, str]) -> dict[str, str]:
        for cost, text in constraints.items():
            try:
                bound = Constraint.parse(text)
            except InputError as error:
                raise ValueError(error.message) from None
            if cost != "latency" and bound.unit in ("s", "ms", "us"):
                raise ValueError(f"{cost} {text!r} has a unit of time; possible: '<= 1.05x', '<= 300k', '<= 2.5M'")
            if cost != "latency" and not bound.relative and bound.limit < 100:
                raise ValueError(
                    f"{cost} {text!r} would be {bound.limit:g} in all; a multiple of the backbone without attention "
                    f"is written '<= {bound.limit:g}x'"
                )
            if bound.limit <= 0 or (bound.relative and bound.limit < 1):
                raise ValueError(
                    f"{cost} {text!r} can never hold: the backbone without attention is at 1x, and attention adds to it"
                )
        return constraints

    @model_validator(mode="after")
    def _possible_with_nni(self) -> SearchSettings:
        if self.engine != "nni":
            return self
        if self.nni_tuner != "optuna" and self.objectives != ["accuracy"]:
            raise ValueError("NNI's own tuners know one objective, accuracy; nni_tuner 'optuna' knows several")
        if any(key.replace("_", "").lower() == "trialgpunumber" for key in self.training_service):
            raise ValueError(
                "training_service with trialGpuNumber makes NNI 3.0 start processes without end; leave it out: trials "
                "share the devices of their machine by themselves"
            )
        if self.training_service.get("platform") != "local" and self.storage is None:
            raise ValueError("training_service needs a storage that its machines reach, such as postgresql://...")
        return self

    @property
    def bounds(self) -> dict[str, Constraint]:
        """The constraints, parsed."""
        return {cost: Constraint.parse(text) for cost, text in self.constraints.items()}

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Optuna's direction of every objective."""
        return ["maximize" if objective == "accuracy" else "minimize" for objective in self.objectives]

    @property
    def needs_latency(self) -> bool:
        """Whether latency has to be measured before training."""
        return COSTS[2] in self.objectives or COSTS[2] in self.constraints
