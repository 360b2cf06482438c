"""The pooled model: one model over all trainings of a study.

One training run's noise is larger than most differences between architectures, so the best single trial is mostly the
luckiest. Here every trial informs every architecture that shares a choice with it. A run of architecture *a* on seed
*s* is taken as::

    accuracy = mean + sum over stages of (effect of type + effect of setting) + pairs of stages + deviation of a
               + block of s + sum over stages of (what s did to the type there) + noise

with every term but the mean Gaussian, its standard deviation learned from the study (random effects, Henderson 1975;
seeds as blocks, Fisher 1935; the slope of a type by seed as in Barr et al. 2013: without it intervals shrink with the
trainings of one seed, which share its luck). A training's rungs and losses are further readings of the same effects,
each with a scale, a noise, and departures by type and stage of its own; a training that was stopped has them alone.
Since a trial is stopped for what its rungs showed, and those are in the model, what is missing is missing at random
(Rubin 1976). Architectures that were never trained get an answer too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from chattn_nas.results.pooled.design import VIEW, Choices, Design, Foretold, Key, effect_row, network_row
from chattn_nas.results.pooled.estimate import Estimate, mixed
from chattn_nas.results.pooled.likelihood import Likelihood, State
from chattn_nas.results.pooled.observation import MINIMAL_PAIRS, Observation

#: The mode is searched within this many log units of the guess: beyond, matrices are singular in double precision.
REACH = 5.0
#: Settings of the standard deviations over which predictions are averaged: many where the study is small.
MOST_POINTS, LEAST_POINTS = 64, 12
#: So many of them stay where a model is only brought up to date.
FEW = 4
#: Networks that are predicted at once: of ten thousand their columns would take hundreds of megabytes.
BLOCK = 512
#: A view that correlates so with the accuracy is a function of it.
SAME = 0.9999
#: Matrices are small: with two threads on two busy cores a fit took 15 times as long as with one.
_one_thread = threadpool_limits.wrap(1, user_api="blas")


class Pooled:
    """The model, fitted.

    Args:
        seen: At least two complete observations.
        views: Names of the views to use; those that too few complete observations have are left out.
        like: A model whose standard deviations are taken over if it has the same terms, instead of learned again.
        foretold: A prediction of every network from elsewhere: one feature whose slope is learned, from a prior
            around zero.

    Attributes:
        seen: The observations.
        views: The views used.
        deviations: Learned standard deviation of every term (``type, setting, pair, architecture, seed, type_seed,
            noise``), in points.
        worth: The information of each view on the network's accuracy, as a multiple of the accuracy's own.
        held_out: Log density of each observation's accuracy given all others; NaN if it was stopped.
    """

    @_one_thread
    def __init__(
        self, seen: Sequence[Observation], views: Sequence[str] = (), like: Pooled | None = None,
        foretold: Foretold | None = None,
    ) -> None:  # fmt: skip
        self._foretold = foretold
        self.views = tuple(name for name in views if _is_informative(seen, name))
        self.seen = [one for one in seen if one.complete or any(name in one.views for name in self.views)]
        values = np.array(
            [[one.accuracy, *(one.views.get(name, np.nan) for name in self.views)] for one in self.seen], dtype=float
        )
        ends = values[:, 0]
        self._center = float(np.nanmean(ends))
        size = max(float(np.nanstd(ends)), 1e-3)
        both = np.isfinite(ends)
        for column in range(1, values.shape[1]):
            pairs = values[both & np.isfinite(values[:, column]), column]
            values[:, column] = (values[:, column] - pairs.mean()) * size / max(float(pairs.std()), 1e-9 * size)
        values[:, 0] -= self._center
        self._networks = {one: place for place, one in enumerate(dict.fromkeys(seen.choices for seen in self.seen))}
        networks = np.array([self._networks[one.choices] for one in self.seen])
        seeds = [-1 if one.seed is None else one.seed for one in self.seen]
        self._design = Design([one.choices for one in self.seen], seeds, values.shape[1], foretold)
        own = np.array([one.variance for one in self.seen])
        self._likelihood = Likelihood(self._design, values, own, networks, size)
        self._points: np.ndarray
        self._states: list[State]
        self._weights: np.ndarray
        self.deviations: dict[str, float]
        self.held_out: np.ndarray
        self.worth: dict[str, float]
        if like is not None and like._likelihood.names == self._likelihood.names:
            few = np.argsort(-like._weights, kind="stable")[:FEW]
            self._points, self._weights = like._points[few], like._weights[few] / like._weights[few].sum()
            self._states = [self._likelihood.state(point) for point in self._points]
            self.deviations, self.worth = like.deviations, like.worth
            self.held_out = np.full(len(self.seen), np.nan)
        else:
            self._integrate()

    def of(self, trainings: Sequence[Observation]) -> Pooled:
        """This model with other trainings, such as a few more.

        Its standard deviations are not learned again, which takes most of the time, and :attr:`held_out` is not
        computed.
        """
        return Pooled(trainings, self.views, like=self, foretold=self._foretold)

    def _integrate(self) -> None:
        """Weighted settings of the standard deviations around the mode, the mode first.

        Importance sampling from a Gaussian by the Hessian at the mode, points from a Sobol sequence: plugging in the
        mode alone makes intervals too short.
        """
        from scipy import optimize  # a second of a worker's start, which most trials do not need
        from scipy.stats import norm, qmc

        of = self._likelihood
        bounds = list(zip(of.guess - REACH, of.guess + REACH, strict=True))

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            state = of.state(theta, gradient=True)
            return state.loss, state.gradient

        mode = optimize.minimize(loss, of.guess, jac=True, method="L-BFGS-B", bounds=bounds,
                                 options={"maxiter": 60, "ftol": 1e-7}).x  # fmt: skip
        self.held_out = of.held_out(mode)
        self.worth = self._worth(mode)
        main, step = of.main, 1e-2
        hessian = np.zeros((len(main),) * 2)
        for row, index in enumerate(main):
            away = np.zeros(len(mode))
            away[index] = step
            change = loss(mode + away)[1] - loss(mode - away)[1]
            hessian[row] = change[main] / (2 * step)
        values, axes = np.linalg.eigh((hessian + hessian.T) / 2)
        spread = axes / np.sqrt(np.maximum(values, 0.5 / of.spread[main].max() ** 2))
        count = int(np.clip(MOST_POINTS * 150 / len(self.seen), LEAST_POINTS, MOST_POINTS))
        normal = norm.ppf(qmc.Sobol(len(main), seed=0).random(MOST_POINTS)[:count])
        points = np.tile(mode, (count + 1, 1))
        points[1:, main] += normal @ spread.T
        points = np.clip(points, of.guess - REACH, of.guess + REACH)
        states = [of.state(point) for point in points]
        log_weights = np.array([-state.loss for state in states])
        log_weights[1:] += 0.5 * (normal**2).sum(1)
        weights = np.exp(log_weights - log_weights.max())
        # No point may carry all: importance weights of a few points in several dimensions are noisy.
        weights = np.minimum(weights, np.quantile(weights, 0.9))
        weights /= weights.sum()
        kept = weights > 1e-3 / count
        kept[0] = True
        sds = np.sqrt(weights @ np.exp(2 * points[:, main]))
        names = [*of.terms, "architecture", "noise"]
        deviations = {"pair": 0.0, "seed": 0.0, "type_seed": 0.0} | dict(zip(names, sds.tolist(), strict=True))
        self._points, self._weights, self.deviations = points[kept], weights[kept] / weights[kept].sum(), deviations
        self._states = [state for state, keep in zip(states, kept, strict=True) if keep]

    def _worth(self, mode: np.ndarray) -> dict[str, float]:
        if not self.views:
            return {}
        variances = np.diag(self._likelihood.noise(mode))
        stages = len(self.seen[0].choices)
        departs = stages * float(np.exp(2 * mode[self._likelihood.terms.index(VIEW)]))
        return {
            name: float(variances[0] / (one + departs)) for name, one in zip(self.views, variances[1:], strict=True)
        }

    def predict(self, choices: Sequence[Choices]) -> Estimate:
        """Expected accuracy over seeds of each architecture, trained or not, in points."""
        blocks = [choices[begin : begin + BLOCK] for begin in range(0, len(choices), BLOCK)] or [choices]
        posteriors = [self._posterior(*self._rows(block)[:-1]) for block in blocks]
        mean, sd, freedom = (
            np.concatenate([getattr(posterior, name) for posterior in posteriors]) for name in ("mean", "sd", "freedom")
        )
        return Estimate(mean + self._center, sd, freedom)

    def differences(self, firsts: Sequence[Choices], seconds: Sequence[Choices]) -> Estimate:
        """The difference in points, over seeds, between each of ``firsts`` and its counterpart in ``seconds``."""
        places = {one: place for place, one in enumerate(dict.fromkeys([*firsts, *seconds]))}
        first, second = (np.array([places[one] for one in of], dtype=int) for of in (firsts, seconds))
        return self._posterior(*self._rows(list(places))[:-1], less=(first, second))

    @_one_thread
    def draws(self, choices: Sequence[Choices], count: int, rng: np.random.Generator) -> np.ndarray:
        """Joint draws from the posterior of the architectures' expected accuracies, (count, architectures)."""
        rows, novel, terms, owners, same = self._rows(choices)
        draws = [np.empty((0, len(choices)))]
        for state, number in zip(self._states, rng.multinomial(count, self._weights), strict=True):
            if not number:
                continue
            h, base, own = _parts(state, rows, owners)
            free = rng.standard_normal((len(state.factor), number))
            free = linalg.solve_triangular(state.factor, free, lower=True, trans=1)
            drawn = base[:, None] + h @ (state.scaled[:, None] + free)
            drawn += (novel * state.sds[terms]) @ rng.standard_normal((novel.shape[1], number))
            drawn += np.sqrt(own)[:, None] * rng.standard_normal((len(choices), number))[same]
            draws.append(drawn.T)
        return rng.permutation(np.concatenate(draws)) + self._center

    def chance_of_better(
        self, others: Sequence[Choices], pick: Choices, by: float, *, draws: int = 1000,
        seed: int | np.random.Generator = 0,
    ) -> float:  # fmt: skip
        """Probability that any of ``others`` is better than ``pick`` by more than ``by`` points.

        Uses joint draws: the more networks there are, the likelier it is that one of them is better. In a large space a
        sample stands for the rest, so the result is a lower limit. 20,000 draws x networks take about 1 ms.

        Args:
            others: Networks, trained or not.
            pick: The recommended network.
            by: A difference in points, such as ``judging.useful``.
            draws: Number of draws from the posterior; the standard error is at most ``0.5 / sqrt(draws)``.
            seed: Seed of the draws, or a generator.
        """
        if not others:
            return 0.0
        rng = np.random.default_rng(seed)
        drawn = self.draws([pick, *others], draws, rng)
        some = others[:: -(-len(others) // BLOCK)]
        wider = self.differences(some, [pick] * len(some)).wider(draws, rng)
        ahead = drawn[:, 1:]
        ahead -= drawn[:, :1]
        mean = ahead.mean(0)
        ahead -= mean
        ahead *= wider[:, None]  # as intervals are: the chance must not deny what they leave open
        return float(((ahead + mean).max(1) > by).mean())

    def effects(self, stage: int, types: Sequence[str]) -> Estimate:
        """The effect of each type in ``types`` in ``stage`` (from 0), against ``none`` there or the mean of the types.

        It is a mean over the type's settings seen there, the types seen in the other stages, and seeds.
        """
        settings: dict[str, dict[str, None]] = {name: {} for name in types}
        others: dict[int, dict[str, None]] = {}
        for one in self.seen:
            for place, (name, setting) in enumerate(one.choices):
                if place != stage:
                    others.setdefault(place, {})[name] = None
                elif name in settings:
                    settings[name][setting] = None
        around = {place: list(names) for place, names in others.items()}
        rows = [
            effect_row([(name, setting) for setting in settings[name]], stage, around, pairs=self._design.pairs)
            for name in types
        ]
        known, novel, terms = self._design.rows(rows)
        reference = np.full((len(types),) * 2, 1 / len(types))
        if "none" in types:
            reference = np.tile(np.eye(len(types))[list(types).index("none")], (len(types), 1))
        pick = np.eye(len(types)) - reference
        return self._posterior(pick @ known, pick @ novel, self._place(terms), None)

    def _rows(self, choices: Sequence[Choices]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Networks over known and new columns, the terms of the new ones, owners, and equal networks."""
        rows: list[Mapping[Key, float]] = [
            network_row(one, pairs=self._design.pairs, foretold=self._foretold) | {("mean", 0): 1.0} for one in choices
        ]
        known, novel, terms = self._design.rows(rows)
        owners = np.array([self._networks.get(one, -1) for one in choices], dtype=int)
        first: dict[Choices, int] = {}
        same = np.array([first.setdefault(one, place) for place, one in enumerate(choices)], dtype=int)
        return known, novel, self._place(terms), owners, same

    def _place(self, terms: Sequence[str]) -> np.ndarray:
        return np.array([self._likelihood.terms.index(term) for term in terms], dtype=int)

    @_one_thread
    def _posterior(
        self, rows: np.ndarray, novel: np.ndarray, terms: np.ndarray, owners: np.ndarray | None,
        less: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Estimate:  # fmt: skip
        """The posterior of rows, which are networks if they have owners; with ``less``, of differences between rows."""
        means, variances = [], []
        for state in self._states:
            h, base, own = _parts(state, rows, owners)
            unseen = novel * state.sds[terms]
            if less is not None:
                one, other = less
                h, base, unseen = h[one] - h[other], base[one] - base[other], unseen[one] - unseen[other]
                own = np.where(one == other, 0.0, own[one] + own[other])
            half = linalg.solve_triangular(state.factor, h.T, lower=True)
            means.append(base + h @ state.scaled)
            variances.append((half**2).sum(0) + (unseen**2).sum(1) + (0.0 if owners is None else own))
        return mixed(np.array(means), np.array(variances), self._weights)


def _is_informative(trainings: Sequence[Observation], view: str) -> bool:
    """Whether enough complete trainings have the view, and it is not just the accuracy again."""
    pairs = np.array([(one.accuracy, one.views[view]) for one in trainings if one.complete and view in one.views])
    if len(pairs) < MINIMAL_PAIRS or not pairs.std(0).all():
        return False
    return abs(float(np.corrcoef(pairs.T)[0, 1])) < SAME


def _parts(state: State, rows: np.ndarray, owners: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and offsets of the coefficients, and the variance of the networks' deviations given them."""
    h = rows * state.scale
    base, own = np.zeros(len(rows)), np.full(len(rows), state.deviation**2)
    if owners is not None and (known := owners >= 0).any():
        h[known] -= state.pull[owners[known]]
        base[known], own[known] = state.residual[owners[known]], state.own[owners[known]]
    return h, base, own
