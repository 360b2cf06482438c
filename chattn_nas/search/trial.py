"""Runs one trial, from the sampler's proposal to the result in the study."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from chattn_nas.errors import InputError, StorageError, first_line, where_and_what
from chattn_nas.files import FULL
from chattn_nas.proxy import Measurement, Outcome, Rung, free_caches, is_out_of_memory, pulse
from chattn_nas.search import queue
from chattn_nas.search.claim import PATIENCE, claim_seed
from chattn_nas.search.pruning import passes, should_stop
from chattn_nas.search.trainer import Costs, Trainer, consistent
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.spec.spec import Spec
from chattn_nas.study._optuna import CONSTRAINTS, id_of, save_trial_note, set_system, set_violation, trial_now
from chattn_nas.study.artifacts import Artifacts
from chattn_nas.study.attributes import ANSWERED, TRAINED, trial_attributes
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.history import history
from chattn_nas.study.metric import named, unit_of
from chattn_nas.study.notes import note
from chattn_nas.study.record import Wording, wording_of
from chattn_nas.study.short import short_name
from chattn_nas.study.texts import one_line
from chattn_nas.study.trials import outcome

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


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        outcome: The outcome.
        reason: The reason, in words.
        measurement: The result of the training, with costs; ``None`` if nothing was trained.
        values: Values of the objectives, if the trial is complete.
        source: Where the values come from: the trial's own training, or the record of earlier ones.
        broken: Whether the process cannot train any more.
    """

    outcome: Outcome
    reason: str
    measurement: Measurement | None = None
    values: list[float] | None = None
    source: str = TRAINED
    broken: bool = False


class BrokenDevice(Exception):
    """The process cannot train any more; the trial was recorded."""


class TimedOut(Exception):
    """A trial exceeded its time limit."""


class TakenAway(Exception):
    """This worker was declared dead, and its trial given to another."""


class TrialRunner:
    """Runs trials of one study in this process.

    Args:
        spec: The spec of the search.
        study: The study that records everything.
        space: Search space of the spec.
        trainer: The trainer.
        reference: Costs of the backbone without attention.
        checkpoints: Where weights go.
        owner: Name of this process.
    """

    def __init__(self, spec: Spec, study: optuna.Study, space: SearchSpace, trainer: Trainer, reference: Costs,
                 checkpoints: Checkpoints, owner: str) -> None:  # fmt: skip
        self.spec, self.study, self.space, self.trainer = spec, study, space, trainer
        self.reference, self.checkpoints, self.owner = reference, checkpoints, owner
        self.artifacts = Artifacts(checkpoints.directory.parent)
        self.begun = time.monotonic()

    def run(self, trial: optuna.Trial) -> Outcome:
        """Run a trial to its end, whatever happens in it.

        Raises:
            BrokenDevice: The device is broken; the trial was recorded.
            KeyboardInterrupt: Ctrl-C; the trial was returned to the queue.
            OSError: The disk is full; the trial was returned to the queue.
        """
        self.artifacts.begin()
        self.begun = time.monotonic()
        try:
            ending = self._ending(trial)
            self._tell(trial, ending)
        except (TakenAway, UpdateFinishedTrialError):
            log.warning("trial %d was taken for lost and is no longer this worker's", trial.number)
            return Outcome.CRASHED
        except (KeyboardInterrupt, SystemExit):
            self._give_back(trial)
            raise
        except OSError as error:
            if error.errno in FULL:
                with suppress(StorageInternalError, StorageError, OSError):  # else the next session finds it lost
                    self._give_back(trial)
            raise
        if ending.broken:
            raise BrokenDevice
        return ending.outcome

    def _give_back(self, trial: optuna.Trial) -> None:
        if queue.is_mine(self.study, id_of(trial), self.owner):
            queue.give_back(self.study, id_of(trial))

    def _ending(self, trial: optuna.Trial) -> Ending:
        """Run the trial, and return its result or, in words, what went wrong; nothing of that is recorded yet.

        Exceptions that are no fault of the trial (the storage is away, the disk is full, the trial was taken away,
        Ctrl-C) pass through.
        """
        try:
            return self._train(trial)
        except (StorageInternalError, StorageError, UpdateFinishedTrialError, TakenAway):
            raise
        except InputError as error:  # the network cannot be built: known before it was trained
            return Ending(Outcome.INFEASIBLE, str(error))
        except TimedOut as error:
            return Ending(Outcome.TIMED_OUT, str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            log.exception("trial %d failed", trial.number)
            if is_out_of_memory(error):
                free_caches()
                return Ending(Outcome.OUT_OF_MEMORY, first_line(error))
            broken = any(words in str(error) for words in BROKEN)
            return Ending(Outcome.CRASHED, where_and_what(error), broken=broken)

    def _train(self, trial: optuna.Trial) -> Ending:
        """Propose a network; then refuse it for its costs, train it, or answer from the record."""
        architecture = self._proposed(trial)
        search = self.spec.search
        seed = claim_seed(self.study, trial, architecture.hash, first=search.seed, most=search.max_seeds)
        if seed is None:
            return self._answer(trial, architecture)
        network = self._built(trial, architecture, seed)
        costs = consistent(self.trainer.costs(network), self.reference)
        trial.set_user_attr("costs_relative", {cost: costs[cost] / self.reference[cost] for cost in costs})
        if exceeded := self._violations(trial, costs):
            reason = "; ".join(exceeded)
            refused = Measurement(outcome=Outcome.INFEASIBLE, reason=reason, seed=seed)
            return Ending(Outcome.INFEASIBLE, reason, measurement=refused.with_costs(costs))
        measured = self._measured(trial, network, seed, costs)
        ending = Ending(measured.outcome, measured.reason, measurement=measured)
        if measured.outcome is not Outcome.COMPLETE:
            return ending
        known = history(self.study).scores(architecture.hash) | {seed: measured.rungs[-1].score}
        mean = fmean(known.values())
        self._keep(network, architecture.hash, seed, mean)
        return replace(ending, values=self._values(mean, costs))

    def _proposed(self, trial: optuna.Trial) -> Architecture:
        """Return the architecture that the trial was given, else the sampler's; store its canonical form."""
        given = trial_attributes(trial).given
        proposed = Architecture.from_dict(given) if given else self.space.sample(trial)
        architecture = proposed.canonical(self.trainer.stages)
        trial.set_user_attr("architecture", architecture.to_dict())
        return architecture

    def _built(self, trial: optuna.Trial, architecture: Architecture, seed: int) -> torch.nn.Module:
        choices = self._wording.choices(architecture.to_dict()["stages"])
        name = short_name(trial_attributes(trial).label, choices)
        pulse.tell("building", trial=trial.number, network=name)
        return self.trainer.build(architecture, seed)

    @cached_property
    def _wording(self) -> Wording:
        return wording_of(self.study)

    def _measured(self, trial: optuna.Trial, network: torch.nn.Module, seed: int, costs: Costs) -> Measurement:
        """Train the network rung by rung.

        Raises:
            TypeError: The user's own trainer returned something else than a measurement.
        """
        measured = self.trainer.train(network, seed, lambda rung, result: self._at_rung(trial, costs, rung, result))
        if not isinstance(measured, Measurement) or (measured.outcome is Outcome.COMPLETE and not measured.rungs):
            raise TypeError(f"a training returns a Measurement, with rungs if it is complete, not {measured!r:.100}")
        return _scored(replace(measured, seed=seed).with_costs(costs))

    def _answer(self, trial: optuna.Trial, architecture: Architecture) -> Ending:
        """Answer from the record: all seeds of the architecture were trained, or are being trained."""
        key, deadline = architecture.hash, time.monotonic() + PATIENCE
        known = history(self.study)
        while not known.seeds(key) and time.monotonic() < deadline:
            time.sleep(0.05)  # another worker has claimed the seed and is about to write so
            known = history(self.study)
        scores, earlier = known.scores(key), list(known.seeds(key).values())  # of one moment: trainings go on
        if not earlier:
            return Ending(Outcome.CRASHED, "the worker that trained this network is gone")
        ended = [other for other in earlier if outcome(other) is not None]
        source = next((o for o in ended if outcome(o) is Outcome.COMPLETE), ended[-1] if ended else earlier[-1])
        stored = trial_attributes(source)
        # First: until then the seed would look as if this trial trained on it.
        trial.set_user_attr("value_source", ANSWERED)
        trial.set_user_attr("hash", key)
        trial.set_user_attr("seed", stored.seed)
        if stored.costs_relative:
            trial.set_user_attr("costs_relative", dict(stored.costs_relative))
        end = Outcome.COMPLETE if scores else outcome(source) or Outcome.PRUNED
        reason = f"known from trials {', '.join(str(other.number) for other in earlier)}"
        ending = Ending(end, reason, measurement=stored.measurement, source=ANSWERED)
        if not scores:
            return ending
        costs = {cost: getattr(stored.measurement, cost) for cost in self.reference}
        self._violations(trial, costs)
        return replace(ending, values=self._values(fmean(scores.values()), costs))

    def _violations(self, trial: optuna.Trial, costs: Costs) -> list[str]:
        """Record the excess over every bound, for samplers and the dashboard; return those exceeded, in words."""
        violations, excess = [], []
        for cost, bound in self.spec.search.bounds.items():
            over = bound.violation(costs[cost], self.reference[cost])
            excess.append(over)
            set_violation(self.study, trial, cost, over)
            if over > 0:
                written = self.spec.search.constraints.get(cost)  # type: ignore[call-overload]
                violations.append(
                    f"{cost} {costs[cost]:,.6g} ({costs[cost] / self.reference[cost]:.3f}x), allowed {written}"
                )
        if excess:
            set_system(self.study, id_of(trial), CONSTRAINTS, excess)
        return violations

    def _at_rung(self, trial: optuna.Trial, costs: Costs, rung: int, result: Rung) -> bool:
        """Report a rung; return ``True`` to stop. Baselines are never stopped, and some trials pass at random."""
        if not queue.is_mine(self.study, id_of(trial), self.owner):
            raise TakenAway
        self._check_time()
        last = rung == len(self.spec.proxy.rungs) - 1
        if math.isnan(result.score):
            return False
        if not self._is_behind(trial, costs, rung, result, last=last) or last or trial_attributes(trial).label:
            return False
        if passes(self.spec.search.seed, trial.number, rung, self.spec.search.pass_at_random):
            trial.set_user_attr("passed_at_random", [*trial_attributes(trial).passed_at_random, rung])
            return False
        return True

    def _is_behind(self, trial: optuna.Trial, costs: Costs, rung: int, result: Rung, *, last: bool) -> bool:
        """Report a rung to the pruner, and return whether it would stop the trial there."""
        settings = self.spec.search
        if settings.objectives == ["accuracy"]:
            known = trial_now(self.study, trial).intermediate_values
            if result.epoch not in known:  # a trial that was given back has some already
                trial.report(result.score, result.epoch)
            return not last and trial.should_prune()
        if "accuracy" not in settings.objectives:
            return False
        others = [costs[name] for name in settings.objectives if name != "accuracy"]
        return should_stop(self.study, trial, settings, rung=rung, costs=others, score=result.score)

    def _check_time(self) -> None:
        limit = self.spec.search.timeout
        if limit and time.monotonic() - self.begun > limit:
            raise TimedOut(f"took longer than {limit:g} s")

    def _values(self, score: float, costs: Costs) -> list[float]:
        return [score if name == "accuracy" else costs[name] for name in self.spec.search.objectives]

    def _keep(self, network: torch.nn.Module, architecture: str, seed: int, mean: float) -> None:
        """Keep the weights while the architecture is among the best; a full disk costs the file, not the result."""
        known = history(self.study)
        ranking = known.best_with(architecture, mean, self.checkpoints.keep)
        try:
            if architecture in ranking:
                self.checkpoints.write(network, architecture, seed)
                self.checkpoints.prune(ranking, lambda one: bool(known.scores(one)))
        except OSError as error:
            log.warning("the weights of %s, seed %d, could not be stored: %s", architecture, seed, error)

    def _tell(self, trial: optuna.Trial, ending: Ending) -> None:
        """Record how the trial ended; its state is written last, when everything else is there."""
        if not queue.is_mine(self.study, id_of(trial), self.owner):
            raise TakenAway
        if ending.measurement:
            trial.set_user_attr("measurement", ending.measurement.to_dict())
        trial.set_user_attr("value_source", ending.source)
        trial.set_user_attr("reason", one_line(ending.reason))
        trial.set_user_attr("outcome", str(ending.outcome))
        stored = trial_attributes(trial_now(self.study, trial))
        text = note(stored, [stage.name for stage in self.trainer.stages])
        save_trial_note(self.study, id_of(trial), named(text, unit_of(self.study)))
        self.artifacts.store(trial, stored, unit_of(self.study))
        state = STATES.get(ending.outcome, TrialState.FAIL)
        self.study.tell(trial, ending.values, state=state, skip_if_finished=True)


def _scored(measured: Measurement) -> Measurement:
    """Treat a training whose final score is not finite as diverged, and drop the rungs without a finite score."""
    if measured.outcome is not Outcome.COMPLETE or math.isfinite(measured.rungs[-1].score):
        return measured
    kept = tuple(rung for rung in measured.rungs if math.isfinite(rung.score))
    reason = f"its score at the end is {measured.rungs[-1].score}, no number"
    return replace(measured, outcome=Outcome.DIVERGED, reason=reason, rungs=kept)
