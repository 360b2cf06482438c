"""The configuration of an NNI experiment over a run, as in ``config.yml``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from chattn_nas.credentials import reveal
from chattn_nas.errors import InputError, RunError
from chattn_nas.search.devices import Slot, device_slots
from chattn_nas.search.nni.space import nni_layers, nni_space
from chattn_nas.search.queue import open_places
from chattn_nas.search.session import enqueue_baselines, quiet_optuna
from chattn_nas.spec.spec import Spec
from chattn_nas.study.run import SPEC, RunDirectory
from chattn_nas.study.trials import all_trials

CONFIG, SPACE = "config.yml", "search_space.json"
#: Names of the tuners that come with NNI.
NAMES = {
    "tpe": "TPE", "evolution": "Evolution", "random": "Random", "grid": "GridSearch",
    "regularized_evolution": "RegularizedEvolutionTuner",
}  # fmt: skip


def experiment(run: RunDirectory, *, trainer: str | None = None) -> dict[str, Any]:
    """Configure the experiment that brings a run to its target number of trials; :data:`SPACE` holds its search space.

    Writes the search space, and files for other machines, into ``nni/`` in the run's directory.

    Args:
        run: A run whose study exists.
        trainer: ``module:factory`` of your own trainer.

    Raises:
        RunError: All trials have ended or are waiting already.
    """
    spec, search = run.spec, run.spec.search
    places = open_places(run.study, search.trials)
    if places == 0:
        raise RunError(f"the {search.trials} trials of {run.directory} have ended or wait already; ask for more")
    folder = (run.directory / "nni").resolve()
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / SPEC).write_text((run.directory / SPEC).read_text(encoding="utf-8"), encoding="utf-8")
    space = spec.search_space()
    layers = search.nni_tuner == "regularized_evolution"
    (folder / SPACE).write_text(json.dumps(nni_layers(space) if layers else nni_space(space), indent=2) + "\n")
    at_once = min(places, len(slots(spec)) if is_local(spec) else search.workers or 1)
    duration = {} if search.nni_duration is None else {"maxExperimentDuration": f"{search.nni_duration:.0f}s"}
    return {
        "experimentName": spec.name,
        "searchSpaceFile": str(folder / SPACE),
        "trialCommand": _command(run, trainer),
        "trialCodeDirectory": str(code),
        "trialConcurrency": at_once,
        "maxTrialNumber": places,
        **duration,
        "experimentWorkingDirectory": str(folder / "experiments"),
        "tuner": _tuner(run, places, at_once),
        "trainingService": training_service(spec),
    }


def write_config(spec: Spec, out: Path) -> Path:
    """Create the run of a spec in ``out``, and the files with which ``nnictl create --config`` fills it.

    Its study holds the baselines as waiting trials; ``chattn-nas search SPEC --run OUT`` trains them.

    Returns:
        The path of ``config.yml``.

    Raises:
        InputError: The spec names another engine.
        RunError: ``out`` holds a run that this spec cannot continue, or that is complete.
    """
    if spec.search.engine != "nni":
        raise InputError(f"nni-config needs 'engine: nni' in the spec, not {spec.search.engine!r}", where=("search",))
    quiet_optuna()
    with RunDirectory.held(spec, out) as run:
        enqueue_baselines(run.study, spec.search_space())
        config = experiment(run)
    (out / SPACE).write_text((run.directory / "nni" / SPACE).read_text())
    path = out / CONFIG
    path.touch(mode=0o600)  # NNI reads passwords of machines from it
    path.chmod(0o600)
    path.write_text(yaml.safe_dump(config | {"searchSpaceFile": SPACE}, sort_keys=False), encoding="utf-8")
    return path


def training_service(spec: Spec) -> dict[str, Any]:
    """Return the spec's training service with its passwords.

    Raises:
        RunError: This process does not know the passwords.
    """
    try:
        return dict(reveal("training_service", spec.search.training_service))
    except KeyError as error:
        raise RunError(
            f"{error.args[0]} is not known here: a run keeps no passwords; search with the spec that has it"
        ) from None


def is_local(spec: Spec) -> bool:
    """Whether NNI's trials run on this machine."""
    return bool(spec.search.training_service.get("platform") == "local")


def slots(spec: Spec) -> list[Slot]:
    """The device slots of this machine: one per worker of the spec, or one per device if trials run elsewhere."""
    workers = (spec.search.workers or None) if is_local(spec) else None
    return device_slots(spec.search.model_copy(update={"workers": workers}), spec.proxy.device)


def _command(run: RunDirectory, trainer: str | None) -> str:
    given = f" --trainer {shlex.quote(trainer)}" if trainer else ""
    if not is_local(run.spec):  # NNI copies the code directory there, and starts the command in it
        return f"python3 -m chattn_nas.search.nni.trial .{given}"
    trial = f"{shlex.quote(sys.executable)} -m chattn_nas.search.nni.trial {shlex.quote(str(run.directory.resolve()))}"
    return f"cd {shlex.quote(str(Path.cwd()))} && exec {trial}{given}"


def _tuner(run: RunDirectory, trials: int, at_once: int) -> dict[str, Any]:
    search = run.spec.search
    if search.nni_tuner == "optuna":
        return {
            "className": "tuner.StudyTuner",
            "codeDirectory": str(Path(__file__).parent),
            "classArgs": {"run": str(run.directory.resolve())},
        }
    seed = search.seed + len(all_trials(run.study))  # a later session shall not propose the same again
    # A population as large as NNI's default (32, 100) would be all that a short search ever sees.
    population = max(2 * at_once, min(32, trials // 3))
    arguments: dict[str, dict[str, Any]] = {
        "tpe": {"optimize_mode": "maximize", "seed": seed},
        "random": {"seed": seed},
        "evolution": {"optimize_mode": "maximize", "population_size": population},
        "regularized_evolution": {
            "optimize_mode": "maximize", "population_size": population, "sample_size": max(2, population // 3),
        },
    }  # fmt: skip
    made = {"name": NAMES[search.nni_tuner]}
    return made | ({"classArgs": arguments[search.nni_tuner]} if search.nni_tuner in arguments else {})
