"""Trials of one study are comparable only on the same data and the same parts: both are kept with it and compared."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna

from chattn_nas.attention import registry
from chattn_nas.data import describe, differences
from chattn_nas.errors import DataError, RunError
from chattn_nas.network import own
from chattn_nas.spec.spec import Spec
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.trials import all_trials
from chattn_nas.tasks.registry import find as find_task

log = logging.getLogger(__name__)

DATA, PARTS = "data_fingerprint", "plugin_fingerprint"
#: Packages whose versions are kept already.
VERSIONED = ("chattn_nas", "torch", "torchvision", "timm")


def check_same(study: optuna.Study, spec: Spec) -> None:
    """Refuse other data or edited parts than the study was started with; the first to ask keeps what there is.

    A study without a finished trial takes what there is now.

    Raises:
        DataError: Says what differs in the data.
        RunError: Names the parts that were edited.
    """
    kept = study_attributes(study)
    data, parts = describe(spec.data).fingerprint, plugins(spec)
    fresh = not any(trial.state.is_finished() for trial in all_trials(study))
    changed = [] if kept.data_fingerprint is None else differences(dict(kept.data_fingerprint), data)
    if changed and not fresh:
        raise DataError(
            f"the data are not those that {study.study_name!r} was started with: {'; '.join(changed)}; give the new "
            "set a run of its own (--name NAME)",
            where=("data", "path"),
        )
    before = parts if kept.plugin_fingerprint is None else dict(kept.plugin_fingerprint)
    edited = [name for name, code in before.items() if parts.get(name, code) != code]
    if edited and not fresh:
        were = "was" if len(edited) == 1 else "were"
        raise RunError(
            f"{', '.join(edited)} {were} edited since {study.study_name!r} was started: old trials cannot be compared "
            "with new ones: give it a run of its own (--name NAME)",
            where=("space",),
        )
    if kept.data_fingerprint is None or changed:
        study.set_user_attr(DATA, data)
    if kept.plugin_fingerprint is None or edited or parts.keys() - before.keys():
        study.set_user_attr(PARTS, parts if fresh else before | parts)


def plugins(spec: Spec) -> dict[str, str]:
    """Hash of the code of every part that is not this package's, by name; comments and layout do not count.

    A backbone, metric, augmentation, task, loss or optimiser of the user's own is among them, and a local file of
    weights by its content.
    """
    found = {}
    backbone = spec.backbone
    if own.is_path(backbone.model):
        found[backbone.model] = _hash_of(sys.modules.get(own.find(backbone.model).__module__), backbone.model)
    if backbone.weights is not None and Path(backbone.weights).is_file():
        with Path(backbone.weights).open("rb") as file:
            found[backbone.weights] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    task = find_task(spec.task.type)
    if task.__module__.split(".")[0] not in VERSIONED:
        found[spec.task.type] = _hash_of(sys.modules.get(task.__module__), task.__qualname__)
    for name in (spec.data.metric, spec.data.augment, spec.proxy.loss, spec.proxy.optimizer):
        if name is not None and ":" in name:
            found[name] = _hash_of(importlib.import_module(name.partition(":")[0]), name)
    for choices in spec.search_space().canonical:
        for choice in choices:
            cls = registry.get(choice.type).cls
            module = sys.modules.get(cls.__module__)
            if module is None or cls.__module__.split(".")[0] in VERSIONED:
                continue
            found[choice.type] = _hash_of(module, cls.__qualname__)
    return found


def _hash_of(module: ModuleType | None, name: str) -> str:
    """A fingerprint of a module's code; of the name, where there is none to read."""
    try:
        code = ast.dump(ast.parse(inspect.getsource(module)))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        code = name
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def warn_of_changes(study: optuna.Study, now: dict[str, Any]) -> list[str]:
    """Say which versions and what hardware differ from those that the study was started with, and keep the list.

    Args:
        study: Holds ``versions`` and ``hardware`` of its first session.
        now: The same of this one.
    """
    then = study_attributes(study)
    found = [
        f"{name} {version}, not {then.versions[name]}"
        for name, version in now["versions"].items()
        if then.versions.get(name, version) != version
    ]
    if then.hardware not in ("", now["hardware"]):
        found.append(f"{now['hardware']}, not {then.hardware}")
    new = [one for one in found if one not in then.changes]
    if found:
        log.warning("this session differs from the first one of the study: %s", "; ".join(found))
    if new:
        study.set_user_attr("changes", [*then.changes, *new])
    return found
