"""Checks that all trials of a study use the same data and the same parts, whose fingerprints it stores."""

from __future__ import annotations

import ast
import hashlib
import inspect
import logging
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna

from chattn_nas.arguments import asked_by
from chattn_nas.attention import registry
from chattn_nas.data import describe, differences
from chattn_nas.errors import DataError, RunError
from chattn_nas.parts import load_object
from chattn_nas.spec.spec import Spec
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.creation import OWN_RUN
from chattn_nas.study.trials import all_trials
from chattn_nas.tasks.registry import find as find_task

log = logging.getLogger(__name__)

DATA, PARTS = "data_fingerprint", "plugin_fingerprint"
#: Packages whose versions are stored already.
VERSIONED = ("chattn_nas", "torch", "torchvision", "timm")
#: Folders that installed packages lie in, of an environment or of a user.
INSTALLED = frozenset({"site-packages", "dist-packages"})


def check_same(study: optuna.Study, spec: Spec) -> None:
    """Refuse data or parts that have changed since the study was started; the first call stores their fingerprints.

    A study without a finished trial takes the current ones.

    Raises:
        DataError: The data differ; the message says how.
        RunError: Parts were edited; the message names them.
    """
    kept = study_attributes(study)
    data, parts = describe(spec.data).fingerprint, plugins(spec)
    fresh = not any(trial.state.is_finished() for trial in all_trials(study))
    changed = [] if kept.data_fingerprint is None else differences(dict(kept.data_fingerprint), data)
    if changed and not fresh:
        raise DataError(
            f"the data are not those that {study.study_name!r} was started with: {'; '.join(changed)}; give the new "
            f"set a run of its own ({asked_by(*OWN_RUN)})",
            where=("data", "path"),
        )
    before = parts if kept.plugin_fingerprint is None else dict(kept.plugin_fingerprint)
    edited = [name for name, code in before.items() if parts.get(name, code) != code]
    free = _free(spec)
    bound = [name for name in edited if name not in free]
    if bound and not fresh:
        were = "was" if len(bound) == 1 else "were"
        raise RunError(
            f"{', '.join(bound)} {were} edited since {study.study_name!r} was started: old trials cannot be compared "
            f"with new ones: take the edit back, or give it a run of its own ({asked_by(*OWN_RUN)})",
            where=("space",),
        )
    if edited and not fresh:
        _keep_changes(study, [f"{', '.join(edited)} edited"])
    if kept.data_fingerprint is None or changed:
        study.set_user_attr(DATA, data)
    if kept.plugin_fingerprint is None or edited or parts.keys() - before.keys():
        study.set_user_attr(PARTS, parts if fresh else before | parts)


def plugins(spec: Spec) -> dict[str, str]:
    """Hash the code of every part from outside this package, by name; comments and layout do not count.

    Included are parts by path, the task and attentions, the user's modules that these import, and the content of a
    local file of weights. A data set is not included: it is compared by its content.
    """
    codes: dict[str, str] = {}
    modules: dict[str, ModuleType | None] = {}
    if spec.backbone.weights is not None and Path(spec.backbone.weights).is_file():
        with Path(spec.backbone.weights).open("rb") as file:
            codes[spec.backbone.weights] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    task = find_task(spec.task.type)
    if task.__module__.split(".")[0] not in VERSIONED:
        modules[spec.task.type] = sys.modules.get(task.__module__)
    for where, path in spec.own_parts.items():
        if where not in (("data", "dataset"), ("task", "type")):
            part = load_object(path, "a part of your own", where)
            of_part = sys.modules.get(getattr(part, "__module__", None) or "")
            named = sys.modules[path.partition(":")[0]]
            modules[path] = of_part if where == ("backbone", "model") else named
            if of_part is not None and of_part is not named and _is_own(of_part):
                modules[of_part.__name__] = of_part
    for choice in {choice.type for choices in spec.search_space().canonical for choice in choices}:
        module = sys.modules.get(registry.get(choice).cls.__module__)
        if module is not None and module.__name__.split(".")[0] not in VERSIONED:
            modules[choice] = module
    sources, free = _Sources(), _free(spec)
    for name, module in modules.items():
        codes[name] = sources.hash(module, name)
    helpers: dict[str, ModuleType] = {}
    for name, module in modules.items():
        if module is not None and name not in free and _is_own(module):
            sources.collect(module, helpers)
    own = {module.__name__ for module in modules.values() if module is not None}
    return codes | {name: sources.hash(helper, name) for name, helper in helpers.items() if name not in own}


def _free(spec: Spec) -> set[str]:
    """Parts that may differ between sessions, since old trials stay valid: those that propose, stop and log."""
    return {path for where, path in spec.own_parts.items() if where[0] == "search"}


def _is_own(module: ModuleType) -> bool:
    """Whether a module belongs neither to an installed package nor to the standard library."""
    file = Path(getattr(module, "__file__", None) or "")
    installed = not INSTALLED.isdisjoint(file.parts)
    standard = any(file.is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    return file != Path() and module.__name__.split(".")[0] not in VERSIONED and not installed and not standard


class _Sources:
    """Reads and parses the code of modules, each once."""

    def __init__(self) -> None:
        self._parsed: dict[ModuleType, ast.Module | None] = {}

    def hash(self, module: ModuleType | None, name: str) -> str:
        """A fingerprint of a module's code, or of its name if there is no code to read."""
        tree = None if module is None else self._code(module)
        return hashlib.sha256((name if tree is None else ast.dump(tree)).encode()).hexdigest()[:16]

    def collect(self, module: ModuleType, known: dict[str, ModuleType]) -> None:
        """Add the user's own modules that this one imports, recursively."""
        for name in self._imported(module):
            other = sys.modules.get(name)
            if other is not None and other is not module and other.__name__ not in known and _is_own(other):
                known[other.__name__] = other
                self.collect(other, known)

    def _imported(self, module: ModuleType) -> Iterator[str]:
        tree = self._code(module)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                dots = "." * node.level
                base = resolve_name(dots + (node.module or ""), module.__package__) if dots else node.module or ""
                yield from (base, *(f"{base}.{alias.name}" for alias in node.names))

    def _code(self, module: ModuleType) -> ast.Module | None:
        if module not in self._parsed:
            try:
                self._parsed[module] = ast.parse(inspect.getsource(module))
            except (OSError, TypeError, SyntaxError):
                self._parsed[module] = None
        return self._parsed[module]


def warn_of_changes(study: optuna.Study, now: dict[str, Any]) -> list[str]:
    """Report versions and hardware that differ from those of the study's first session, and store the list.

    Args:
        study: Holds ``versions`` and ``hardware`` of its first session.
        now: Versions and hardware of this session.
    """
    then = study_attributes(study)
    changed = [
        f"{name} {version}, not {then.versions[name]}"
        for name, version in now["versions"].items()
        if then.versions.get(name, version) != version
    ]
    if then.hardware not in ("", now["hardware"]):
        changed.append(f"{now['hardware']}, not {then.hardware}")
    _keep_changes(study, changed)
    return changed


def _keep_changes(study: optuna.Study, changes: list[str]) -> None:
    if changes:
        log.warning("this session differs from the first one of the study: %s", "; ".join(changes))
    then = study_attributes(study).changes
    if new := [one for one in changes if one not in then]:
        study.set_user_attr("changes", [*then, *new])
