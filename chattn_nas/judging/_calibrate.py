"""Calibration: can a proxy be trusted? Trains a sample of the space at cheap fidelities and at full length."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

from chattn_nas.arguments import at_least, checked
from chattn_nas.data import load_data
from chattn_nas.errors import InputError, RunError, SearchStopped
from chattn_nas.judging._confirm import FRESH
from chattn_nas.judging.agreement import Agreement, agreement, excess
from chattn_nas.judging.calibration import Calibration, Tried
from chattn_nas.judging.counted import chance_of, counted
from chattn_nas.judging.fidelities import Fidelity, of_spec
from chattn_nas.judging.given import spec_of_given, time_limit, train_given
from chattn_nas.judging.sampling import stratified
from chattn_nas.results import words
from chattn_nas.search.session import quiet_optuna
from chattn_nas.space import Architecture, StageChoice
from chattn_nas.spec import Spec
from chattn_nas.spec.training_settings import FULL
from chattn_nas.study import RunDirectory
from chattn_nas.study.hold import write_whole
from chattn_nas.study.record import Wording, records
from chattn_nas.study.run import place_of

#: Fewest architectures for which a rank correlation says anything.
LEAST_ARCHITECTURES = 4
FILE = "calibration.json"
#: Its seeds start so far above those of the search: what a confirmation will be trained on is not met here.
OWN = 2 * FRESH


@checked
def calibrate(
    spec: Spec,
    tried: Sequence[Fidelity],
    *,
    run: Path | str | None = None,
    architectures: int = 16,
    full_epochs: int | None = None,
    seeds: int = 2,
    part: float = 0.8,
    budget: float | None = None,
    workers: int | None = None,
    progress: bool = True,
    begins: Callable[[Fidelity], None] = lambda fidelity: None,
) -> Calibration:
    """Train a stratified sample at every fidelity of ``tried`` and at the full one, and compare their rankings.

    Full trainings take one cycle and ``seeds`` seeds; the candidates take the spec's rungs and a seed of their own, so
    that no training is compared with itself. Everything goes through the search's workers, one study per fidelity;
    after an interruption the same call continues. The result is also written to ``calibration.json`` in the directory.
    Constraints are not applied: the sample stands for the whole space.

    Args:
        spec: A spec.
        tried: Fidelities, such as :func:`chattn_nas.judging.fidelities.candidates` returns.
        run: Directory; ``runs/<name>-calibrate`` by default.
        architectures: Size of the sample, in which every choice of a stage is as frequent as possible.
        full_epochs: Length of full training; four times the spec's last rung by default, as in ``confirm``.
        seeds: Full trainings per architecture.
        part: Part of the ceiling that a proxy's interval must reach.
        budget: Seconds of training for everything; a candidate that would exceed it is left out.
        workers: As for ``search``.
        progress: As for ``search``.
        begins: Called before each fidelity is trained.

    Raises:
        InputError: Fewer than 4 architectures (or a space with fewer), fewer than 2 seeds, less than an
            epoch, no budget, or a part outside 0 to 1.
        RunError: Too few trainings succeeded to compare anything, or the directory holds other things.
    """
    at_least(LEAST_ARCHITECTURES, "architectures", architectures)
    at_least(2, "seeds", seeds)
    at_least(1, "full_epochs", full_epochs)
    if budget is not None and not budget > 0:
        raise InputError(f"budget must be above 0, not {budget:g}", value=budget)
    if not 0 < part <= 1:
        raise InputError(f"part must be above 0 and at most 1, not {part:g}", value=part)
    directory = place_of(f"{spec.name}-calibrate", run, several=True)
    quiet_optuna()
    space = spec.search_space()
    chosen = stratified(space, architectures, spec.search.seed)
    if len(chosen) < LEAST_ARCHITECTURES:
        raise InputError(f"the space holds {words.plural(len(chosen), 'network')}: too few to rank", value=len(chosen))
    own = of_spec(spec, len(load_data(spec.data).train))
    full = replace(own, rungs=(full_epochs or FULL * own.rungs[-1],), start=spec.training.start or spec.proxy.start)
    trainings = _Trainings(spec, directory, chosen, Wording.of_space(space), workers, progress)

    first = spec.search.seed + OWN
    fresh = range(first, first + seeds)
    begins(full)
    scores, full_seconds = trainings.train(full, fresh)
    ceiling = _compare([(scores[a], scores[b]) for a, b in combinations(fresh, 2)])
    if ceiling is None:
        raise RunError(f"fewer than {LEAST_ARCHITECTURES} full trainings succeeded on every seed: nothing to compare")
    spent, candidates = full_seconds * len(chosen) * seeds, []
    for fidelity in tried:
        guess = full_seconds * fidelity.work(full) * len(chosen)
        if budget is not None and spent + guess > budget:
            reason = f"left out: it would take about {words.duration(guess)}, more than is left of the budget"
            candidates.append(Tried(fidelity=fidelity, reason=reason))
            continue
        begins(fidelity)
        candidate = trainings.compared(fidelity, scores, part)
        spent += (candidate.seconds or 0.0) * len(chosen)
        candidates.append(candidate)
    result = Calibration(
        spec=own, full=full, full_seconds=full_seconds, ceiling=ceiling, tried=tuple(candidates), part=part
    )
    write_whole(directory / FILE, json.dumps(result.to_dict(), indent=2) + "\n")
    return result


@dataclass(frozen=True)
class _Trainings:
    """The networks that are trained at every fidelity, and how.

    Attributes:
        spec: The spec that is calibrated.
        directory: Holds one run per fidelity.
        chosen: The networks, as choices per stage.
        wording: How they are named.
        workers, progress: As for ``search``.
    """

    spec: Spec
    directory: Path
    chosen: Sequence[tuple[StageChoice, ...]]
    wording: Wording
    workers: int | None
    progress: bool

    def compared(self, fidelity: Fidelity, scores: dict[int, dict[int, float]], part: float) -> Tried:
        """Train at a fidelity, and compare its ranking with those of the full trainings, whose ``scores`` are given."""
        seed = self.spec.search.seed
        try:
            own, seconds = self.train(fidelity, [seed])
        except (InputError, SearchStopped) as error:
            return Tried(fidelity=fidelity, reason=f"not possible: {error}")
        pairs = [(own[seed], full) for full in scores.values()]
        agreed, above = _compare(pairs), None
        if agreed is not None:
            ceiling = list(combinations(scores.values(), 2))
            shared = sorted(set.intersection(*(set(one) for pair in (*pairs, *ceiling) for one in pair)))
            if len(shared) >= LEAST_ARCHITECTURES:
                above = excess(_listed(pairs, shared), _listed(ceiling, shared), part)
        reason = "" if agreed else f"fewer than {LEAST_ARCHITECTURES} trainings succeeded"
        return Tried(fidelity=fidelity, agreement=agreed, excess=above, seconds=seconds, reason=reason)

    def train(self, fidelity: Fidelity, seeds: Sequence[int]) -> tuple[dict[int, dict[int, float]], float]:
        """Train, and return scores by seed and index in ``chosen`` (the last one if it diverged), and mean seconds."""
        at = _spec_at(self.spec, fidelity, len(seeds))
        stages = at.search_space().stages
        networks = [Architecture(at.backbone.backbone, choices).canonical(stages) for choices in self.chosen]
        with RunDirectory.held(at, self.directory / fidelity.name, what="calibration") as opened:
            different = dict.fromkeys(networks)  # a narrow backbone may merge what differs in the spec's
            trainings = ((one.to_dict(), one.hash, seed, "") for seed in seeds for one in different)
            train_given(opened, trainings, self.wording, workers=self.workers, progress=self.progress)
        trials = records(opened.study)
        done = counted(trials, chance_of(at))
        seconds = [one.measurement.seconds for one in trials if one.score is not None and one.measurement is not None]
        if not seconds:
            raise RunError(f"no training of {fidelity} succeeded")
        scores = {
            seed: {index: done[one.hash, seed] for index, one in enumerate(networks) if (one.hash, seed) in done}
            for seed in seeds
        }
        return scores, fmean(seconds)


def _spec_at(spec: Spec, fidelity: Fidelity, seeds: int) -> Spec:
    """Return the spec of the study that trains at a fidelity."""
    return spec_of_given(
        fidelity.applied(spec),
        f"{spec.name}-calibrate-{fidelity.name}",
        max_seeds=seeds,
        keep_checkpoints=0,
        timeout=time_limit(spec, fidelity.rungs[-1]),
    )


def _compare(pairs: Sequence[tuple[dict[int, float], dict[int, float]]]) -> Agreement | None:
    """Return the agreement over the architectures that every ranking of ``pairs`` has."""
    shared = sorted(set.intersection(*(set(scores) for pair in pairs for scores in pair)))
    return None if len(shared) < LEAST_ARCHITECTURES else agreement(_listed(pairs, shared))


def _listed(
    pairs: Sequence[tuple[dict[int, float], dict[int, float]]], shared: Sequence[int]
) -> list[tuple[list[float], list[float]]]:
    return [([a[i] for i in shared], [b[i] for i in shared]) for a, b in pairs]
