"""Runs one trial: from what the sampler proposes to what the study is told."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace
from statistics import fmean

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from chattn_nas.errors import InputError, first_line
from chattn_nas.proxy import Measurement, Outcome, Rung, free_caches, is_out_of_memory
from chattn_nas.search import queue
from chattn_nas.search.claim import claim_seed
from chattn_nas.search.pruning import passes, should_stop
from chattn_nas.search.search_study import GIVEN
from chattn_nas.search.trainer import Costs, Trainer, consistent
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.spec.spec import Spec
from chattn_nas.study.artifacts import Artifacts
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.metric import metric_of, named
from chattn_nas.study.notes import note, save_note
from chattn_nas.study.trials import ANSWERED, TRAINED, accuracies, all_trials, mean_accuracies, outcome, seeds

log = logging.getLogger(__name__)

STATES = {
    Outcome.COMPLETE: TrialState.COMPLETE,
    Outcome.PRUNED: TrialState.PRUNED,
    # Samplers learn from constraints of complete and pruned trials only, and a complete one would need a value.
    # The dashboard badges only complete trials as infeasible, these as pruned: note and attribute `outcome` say which.
    Outcome.INFEASIBLE: TrialState.PRUNED,
}
#: CUDA errors after which every further call in the process fails.
BROKEN = ("device-side assert", "illegal memory access", "CUDA error", "unspecified launch failure")


class BrokenDevice(Exception):
    """The process can train nothing more; the trial was recorded."""


class TimedOut(Exception):
    """A trial exceeded its limit of seconds."""


class TakenAway(Exception):
    """This worker was taken for dead, and its trial was given to another."""


class TrialRunner:
    """Runs trials of one study in this process.

    Args:
        spec: What is searched.
        study: Where everything is recorded.
        space: Search space of the spec.
        trainer: What trains.
        reference: Costs of the backbone without attention.
        checkpoints: Where weights go.
        owner: Name of this process.
    """

    def __init__(self, spec: Spec, study: optuna.Study, space: SearchSpace, trainer: Trainer, reference: Costs,
                 checkpoints: Checkpoints, owner: str) -> None:  # fmt: skip
        self.spec, self.study, self.space, self.trainer = spec, study, space, trainer
        self.reference, self.checkpoints, self.owner = reference, checkpoints, owner
        self.artifacts = Artifacts(checkpoints.directory.parent)

    def run(self, trial: optuna.Trial) -> Outcome:
        """Run a taken trial to its end, whatever happens in it.

        Raises:
            BrokenDevice: After the trial was recorded.
            KeyboardInterrupt: After the trial was given back.
        """
        broken = False
        self.artifacts.begin()
        try:
            values, end = None, Outcome.CRASHED
            try:
                end, values = self._run(trial)
            except InputError as error:
                end = self._ended(trial, Outcome.INFEASIBLE, str(error))
            except TimedOut as error:
                end = self._ended(trial, Outcome.TIMED_OUT, str(error))
            except (StorageInternalError, UpdateFinishedTrialError, TakenAway):
                raise
            except Exception as error:
                log.exception("trial %d failed", trial.number)
                end = self._failed(trial, error)
                broken = any(words in str(error) for words in BROKEN) and not is_out_of_memory(error)
            self._tell(trial, end, values)
        except (TakenAway, UpdateFinishedTrialError):
            log.warning("trial %d was taken for lost and is no longer this worker's", trial.number)
        except (KeyboardInterrupt, SystemExit):
            if queue.is_mine(self.study, trial._trial_id, self.owner):
                queue.give_back(self.study, trial._trial_id)
            raise
        if broken:
            raise BrokenDevice
        return end

    def _run(self, trial: optuna.Trial) -> tuple[Outcome, list[float] | None]:
        given = trial.user_attrs.get(GIVEN)
        proposed = Architecture.from_dict(given) if given else self.space.sample(trial)
        architecture = proposed.canonical(self.trainer.stages)
        trial.set_user_attr("architecture", architecture.to_dict())
        search = self.spec.search
        seed = claim_seed(self.study, trial, architecture.hash, first=search.seed, most=search.max_seeds)
        if seed is None:
            return self._answer(trial, architecture)
        network = self.trainer.build(architecture, seed)
        costs = consistent(self.trainer.costs(network), self.reference)
        trial.set_user_attr("costs_relative", {cost: costs[cost] / self.reference[cost] for cost in costs})
        broken_bounds = self._violations(trial, costs)
        if broken_bounds:
            refused = Measurement(outcome=Outcome.INFEASIBLE, reason="; ".join(broken_bounds), seed=seed)
            return self._record(trial, refused, costs), None
        measured = self.trainer.train(network, seed, lambda rung, result: self._at_rung(trial, costs, rung, result))
        end = self._record(trial, replace(measured, seed=seed), costs)
        if end is not Outcome.COMPLETE:
            return end, None
        known = accuracies(all_trials(self.study), architecture.hash) | {seed: measured.rungs[-1].accuracy}
        mean = fmean(known.values())
        self._keep(network, architecture.hash, seed, mean)
        return end, self._values(mean, costs)

    def _answer(self, trial: optuna.Trial, architecture: Architecture) -> tuple[Outcome, list[float] | None]:
        """All seeds of the architecture were trained: the record answers."""
        key = architecture.hash
        trials = all_trials(self.study)
        earlier = list(seeds(trials, key).values())
        known = accuracies(trials, key)
        ended = [other for other in earlier if outcome(other) is not None]
        source = next((o for o in ended if outcome(o) is Outcome.COMPLETE), ended[-1] if ended else earlier[-1])
        measured = source.user_attrs.get("measurement") or {}
        end = Outcome.COMPLETE if known else outcome(source) or Outcome.PRUNED
        reason = f"known from trials {', '.join(str(other.number) for other in earlier)}"
        relative = source.user_attrs.get("costs_relative")
        attributes = {
            "value_source": ANSWERED,  # first: until then the seed would look as if this trial trained on it
            "hash": key,
            "seed": source.user_attrs["seed"],
            "measurement": measured,
            "costs_relative": relative,
        }
        for name, value in {**attributes, "outcome": str(end), "reason": reason}.items():
            if value is not None:
                trial.set_user_attr(name, value)
        if not known:
            return end, None
        costs = {cost: measured[cost] for cost in self.reference}
        self._violations(trial, costs)
        return end, self._values(fmean(known.values()), costs)

    def _violations(self, trial: optuna.Trial, costs: Costs) -> list[str]:
        """Record by how much every bound is exceeded, for samplers and for the dashboard; name those that are."""
        found, excess = [], []
        known = self.study._storage.get_trial(trial._trial_id).system_attrs
        for cost, bound in self.spec.search.bounds.items():
            over = bound.violation(costs[cost], self.reference[cost])
            excess.append(over)
            if f"constraints:{cost}" not in known:
                trial.set_constraint(cost, over)
            if over > 0:
                written = self.spec.search.constraints.get(cost)  # type: ignore[call-overload]
                found.append(
                    f"{cost} {costs[cost]:,.6g} ({costs[cost] / self.reference[cost]:.3f}x), allowed {written}"
                )
        if excess:  # the dashboard (0.21) reads only the list of older Optuna versions
            self.study._storage.set_trial_system_attr(trial._trial_id, "constraints", excess)
        return found

    def _at_rung(self, trial: optuna.Trial, costs: Costs, rung: int, result: Rung) -> bool:
        """Report a rung; ``True`` stops the training."""
        if not queue.is_mine(self.study, trial._trial_id, self.owner):
            raise TakenAway
        self._check_time(trial)
        settings = self.spec.search
        last = rung == len(self.spec.proxy.rungs) - 1
        if result.accuracy != result.accuracy:
            return False
        if settings.objectives == ["accuracy"]:
            known = self.study._storage.get_trial(trial._trial_id).intermediate_values
            if result.epoch not in known:  # a trial that was given back has some already
                trial.report(result.accuracy, result.epoch)
            stop = not last and trial.should_prune()
        elif "accuracy" in settings.objectives:
            others = [costs[name] for name in settings.objectives if name != "accuracy"]
            stop = should_stop(self.study, trial, settings, rung=rung, costs=others, accuracy=result.accuracy)
        else:
            stop = False
        if not stop or last or trial.user_attrs.get("label"):
            return False
        if passes(settings.seed, trial.number, rung, settings.pass_at_random):
            trial.set_user_attr("passed_at_random", [*trial.user_attrs.get("passed_at_random", []), rung])
            return False
        return True

    def _check_time(self, trial: optuna.Trial) -> None:
        limit = self.spec.search.timeout
        started = self.study._storage.get_trial(trial._trial_id).datetime_start if limit else None
        if limit and started and time.time() - started.timestamp() > limit:
            raise TimedOut(f"took longer than {limit:g} s")

    def _values(self, accuracy: float, costs: Costs) -> list[float]:
        return [accuracy if name == "accuracy" else costs[name] for name in self.spec.search.objectives]

    def _record(self, trial: optuna.Trial, measured: Measurement, costs: Costs) -> Outcome:
        trial.set_user_attr("measurement", measured.to_dict() | costs)
        return self._ended(trial, measured.outcome, measured.reason)

    def _ended(self, trial: optuna.Trial, end: Outcome, reason: str) -> Outcome:
        trial.set_user_attr("value_source", TRAINED)
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("outcome", str(end))
        return end

    def _failed(self, trial: optuna.Trial, error: Exception) -> Outcome:
        if is_out_of_memory(error):
            free_caches()
            return self._ended(trial, Outcome.OUT_OF_MEMORY, first_line(error))
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = first_line(error)
        return self._ended(trial, Outcome.CRASHED, f"{type(error).__name__}: {said} ({last.name}, line {last.lineno})")

    def _keep(self, network: torch.nn.Module, architecture: str, seed: int, mean: float) -> None:
        """Keep the weights while the architecture is among the best; a full disk costs the file, not the result."""
        means = mean_accuracies(all_trials(self.study)) | {architecture: mean}
        ranking = sorted(means, key=lambda key: -means[key])
        try:
            if architecture in ranking[: self.checkpoints.keep]:
                self.checkpoints.write(network, architecture, seed)
                self.checkpoints.prune(ranking)
        except OSError as error:
            log.warning("the weights of %s, seed %d, are not kept: %s", architecture, seed, error)

    def _tell(self, trial: optuna.Trial, end: Outcome, values: list[float] | None) -> None:
        if not queue.is_mine(self.study, trial._trial_id, self.owner):
            raise TakenAway
        attributes = self.study._storage.get_trial(trial._trial_id).user_attrs
        text = note(attributes, [stage.name for stage in self.trainer.stages])
        save_note(self.study, trial._trial_id, named(text, metric_of(self.study)))
        self.artifacts.store(trial, attributes)
        self.study.tell(trial, values, state=STATES.get(end, TrialState.FAIL), skip_if_finished=True)
