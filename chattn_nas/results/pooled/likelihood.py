"""The likelihood of a study's readings given the standard deviations of the model's terms, and its gradient.

Every term but the noise and the deviation of a network is a sum of columns of the design, so the covariance of all
readings is a matrix of low rank, plus a block per network, plus a block per training: Woodbury's identity solves it
with matrices of the number of columns, however many trainings there are. A training has a few dozen of the columns, so
products of them are counted once, and only weighted at every setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from chattn_nas.results.pooled.design import Design

#: Prior guess for each standard deviation, as a share of the accuracies' own; log-normal with the spread below. It
#: decides only what a study cannot say itself: above all what one seed does to a type, of which there are few.
#: scripts/benchmarks/judging.py measures how often intervals cover in worlds that differ from it.
SHARE = {
    "type": 0.3, "setting": 0.1, "pair": 0.16, "seed": 0.2, "type_seed": 0.2, "view": 0.15,
    "architecture": 0.16, "noise": 0.8, "foretold": 0.3,
}  # fmt: skip
SPREAD = 1.0
#: How far the scale of a view may lie from the ratio of standard deviations, in log units.
SCALE_SPREAD = 0.5
#: Spread of the unconstrained parameters of the correlations between a training's readings.
CORRELATION_SPREAD = 1.0
#: The flat mean of a view, in standard deviations.
FLAT = 30.0


@dataclass(frozen=True)
class State:
    """The posterior of the columns' coefficients at one setting of the standard deviations.

    Attributes:
        loss: Negative log posterior density of the setting, up to a constant.
        gradient: Gradient of the loss; empty unless requested.
        scale: (columns,) prior standard deviations.
        scaled: (columns,) posterior mean of the coefficients over ``scale``.
        factor: (columns, columns) lower Cholesky factor of the posterior precision of those.
        own: (networks,) posterior variance of each network's deviation, given the coefficients.
        pull: (networks, columns), residual: (networks,): its mean is ``residual - pull @ scaled``.
        deviation: Prior standard deviation of a network's deviation.
        sds: (terms,) prior standard deviations by term.
        noise: Standard deviation of one training's accuracy around its network and its seed.
    """

    loss: float
    gradient: np.ndarray
    scale: np.ndarray
    scaled: np.ndarray
    factor: np.ndarray
    own: np.ndarray
    pull: np.ndarray
    residual: np.ndarray
    deviation: float
    sds: np.ndarray
    noise: float


class _Entries(NamedTuple):
    """A sparse matrix as places in the flattened one, each once, and what stands there."""

    places: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> _Entries:
        """Those of a matrix."""
        entries = matrix.tocoo()
        entries.sum_duplicates()
        return cls(entries.row.astype(np.int64) * matrix.shape[1] + entries.col, entries.data)

    def add(self, weight: float, to: np.ndarray) -> None:
        """Add the matrix times ``weight``."""
        to.reshape(-1)[self.places] += weight * self.values

    def times(self, other: np.ndarray) -> float:
        """The sum over the products of the entries."""
        return float(self.values @ other.reshape(-1)[self.places])


class _Pattern:
    """Trainings of which the same readings are there, whose accuracy has a noise of its own of the same size.

    Args:
        rows: (trainings,) their places.
        kept: (readings,) which views.
        extra: Variance of the accuracy besides the noise that all share.
        design: Columns.
        values: (trainings, readings).
        owner: (trainings,) index of each one's network.
        networks: How many there are.

    Attributes:
        columns: Per reading (trainings, columns).
        sums: Per reading their sums over the trainings of a network, (networks, columns).
        products: By two readings, the first no later, (columns, columns); of two different ones the symmetric sum.
        count: (networks,) trainings of each.
    """

    def __init__(
        self, rows: np.ndarray, kept: np.ndarray, extra: float, design: Design, values: np.ndarray, owner: np.ndarray,
        networks: int,
    ) -> None:  # fmt: skip
        self.rows, self.kept, self.extra, self.values, self.owner = rows, kept, extra, values, owner
        self.columns = [design.matrices[view][rows] for view in kept]
        ones = np.ones(len(rows))
        gather = sparse.csr_array((ones, (owner, np.arange(len(rows)))), shape=(networks, len(rows)))
        self.sums = [_Entries.of(gather @ one) for one in self.columns]
        self.products: dict[tuple[int, int], _Entries] = {}
        for first, one in enumerate(self.columns):
            for second in range(first, len(self.columns)):
                product = one.T @ self.columns[second]
                self.products[first, second] = _Entries.of(product if first == second else product + product.T)
        self.count = np.bincount(owner, minlength=networks)

    def along(self, coefficients: np.ndarray) -> np.ndarray:
        """The columns times coefficients, (trainings, readings)."""
        return np.stack([one @ coefficients for one in self.columns], 1)


class _Whitened(NamedTuple):
    """What one pattern is at one setting: the inverse factor of its noise, its readings and ones times that."""

    white: np.ndarray
    y: np.ndarray
    z: np.ndarray


class _Solved(NamedTuple):
    """Patterns, whitened; sums over networks, and what was solved with them."""

    patterns: list[_Whitened]
    u: np.ndarray
    zz: np.ndarray
    zy: np.ndarray
    c: np.ndarray
    factor: np.ndarray
    half: np.ndarray
    scaled: np.ndarray
    evidence: float
    scale: np.ndarray
    deviation: float
    lengths: np.ndarray


class Likelihood:
    """The likelihood of a study's readings.

    Args:
        design: Columns.
        values: (trainings, views) readings, centred, in the accuracy's units; NaN where there is none.
        own: (trainings,) variance of the accuracy besides the noise that all share.
        networks: (trainings,) index of each training's network.
        size: Standard deviation of the accuracies, the unit of the priors.

    Parameters are the logarithms of the terms' standard deviations, of a network's deviation and of each view's noise,
    then the logarithm of each further view's scale, then the correlations between readings.
    """

    def __init__(self, design: Design, values: np.ndarray, own: np.ndarray, networks: np.ndarray, size: float) -> None:
        self.terms, self.kinds, self.size = design.terms, design.kinds(), size
        self.views = values.shape[1]
        self.networks = int(networks.max()) + 1
        there = np.isfinite(values)
        self._patterns: list[_Pattern] = []
        for mask, extra in sorted({(tuple(row), float(v)) for row, v in zip(there.tolist(), own, strict=True)}):
            rows, kept = np.flatnonzero((there == mask).all(1) & (own == extra)), np.flatnonzero(mask)
            if len(kept):
                read = values[np.ix_(rows, kept)]
                self._patterns.append(_Pattern(rows, kept, extra, design, read, networks[rows], self.networks))
        self._trainings = len(values)
        v = self.views
        self.names = [*self.terms, "architecture", *["noise"] * v, *["scale"] * (v - 1),
                      *["correlation"] * (v * (v - 1) // 2)]  # fmt: skip
        guess = [np.log(SHARE[name] * size) if name in SHARE else 0.0 for name in self.names]
        spreads = {"scale": SCALE_SPREAD, "correlation": CORRELATION_SPREAD}
        self.guess = np.array(guess)
        self.spread = np.array([spreads.get(name, SPREAD) for name in self.names])
        #: Those over which predictions are averaged; the rest stay at the mode.
        self.main = np.arange(len(self.terms) + 2)

    def noise(self, theta: np.ndarray) -> np.ndarray:
        """(views, views) covariance of one training's readings around its network and its seed."""
        v, first = self.views, len(self.terms) + 1
        sds = np.exp(theta[first : first + v])
        lower = np.eye(v)
        lower[np.tril_indices(v, -1)] = theta[first + v + v - 1 :]
        lower /= np.linalg.norm(lower, axis=1, keepdims=True)
        return np.asarray((lower @ lower.T) * np.outer(sds, sds))

    def state(self, theta: np.ndarray, *, gradient: bool = False) -> State:
        """The posterior at ``theta``."""
        count, w = len(self.terms), self._solve(theta)
        away = (theta - self.guess) / self.spread
        return State(
            loss=-w.evidence + 0.5 * float(away @ away),
            gradient=self._gradient(theta, w) + away / self.spread if gradient else np.zeros(0),
            scale=w.scale, scaled=w.scaled, factor=w.factor, own=w.c, pull=w.c[:, None] * w.u, residual=w.c * w.zy,
            deviation=w.deviation, sds=np.exp(theta[:count]), noise=float(np.exp(theta[count + 1])),
        )  # fmt: skip

    def _solve(self, theta: np.ndarray) -> _Solved:
        count, v = len(self.terms), self.views
        scale = np.where(self.kinds < 0, FLAT * self.size, np.exp(theta[:count])[self.kinds])
        deviation = float(np.exp(theta[count]))
        noise = self.noise(theta)
        lengths = np.concatenate([[0.0], theta[count + 1 + v : count + 2 * v]])
        columns, logdet, square = len(scale), 0.0, 0.0
        precision, along = np.zeros((columns, columns)), np.zeros(columns)
        u, zz, zy = np.zeros((self.networks, columns)), np.zeros(self.networks), np.zeros(self.networks)
        patterns = []
        for one in self._patterns:
            block = noise[np.ix_(one.kept, one.kept)].copy()
            block[0, 0] += one.extra * (one.kept[0] == 0)
            factor = np.linalg.cholesky(block)
            white = linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
            logdet += 2 * len(one.rows) * float(np.log(np.diag(factor)).sum() + lengths[one.kept].sum())
            y, z, inverse = (one.values * np.exp(-lengths[one.kept])) @ white.T, white.sum(1), white.T @ white
            for (first, second), product in one.products.items():
                product.add(float(inverse[first, second]), precision)
            for entries, weight in zip(one.sums, z @ white, strict=True):
                entries.add(float(weight), u)
            for matrix, reading in zip(one.columns, (y @ white).T, strict=True):
                along += reading @ matrix
            zz += one.count * float(z @ z)
            zy += np.bincount(one.owner, y @ z, minlength=self.networks)
            square += float((y**2).sum())
            patterns.append(_Whitened(white, y, z))
        u *= scale
        c = deviation**2 / (1 + deviation**2 * zz)
        pulled = np.sqrt(c)[:, None] * u
        precision *= scale * scale[:, None]
        precision -= pulled.T @ pulled
        precision[np.diag_indices_from(precision)] += 1.0
        factor = np.linalg.cholesky(precision)
        half = linalg.solve_triangular(factor, scale * along - u.T @ (c * zy), lower=True)
        scaled = linalg.solve_triangular(factor, half, lower=True, trans=1)
        logdet += float(np.log1p(deviation**2 * zz).sum()) + 2 * float(np.log(np.diag(factor)).sum())
        evidence = -0.5 * (square - float(c @ zy**2) - float(half @ half) + logdet)
        return _Solved(patterns, u, zz, zy, c, factor, half, scaled, evidence, scale, deviation, lengths)

    def _residuals(self, w: _Solved) -> tuple[list[np.ndarray], np.ndarray]:
        """The inverse covariance times the readings, (trainings, readings) per pattern, and its sums over networks."""
        residuals, total = [], np.zeros(self.networks)
        for pattern, (white, y, z) in zip(self._patterns, w.patterns, strict=True):
            residuals.append(y - pattern.along(w.scale * w.scaled) @ white.T)
            total += np.bincount(pattern.owner, residuals[-1] @ z, minlength=self.networks)
        for pattern, (_, _, z), residual in zip(self._patterns, w.patterns, residuals, strict=True):
            residual -= (w.c * total)[pattern.owner, None] * z
        return residuals, total / (1 + w.deviation**2 * w.zz)

    def held_out(self, theta: np.ndarray) -> np.ndarray:
        """Log density of every complete training's accuracy given all other trainings, none of its own readings.

        In the order of patterns: comparable between two models of the same trainings only as a set.
        """
        w = self._solve(theta)
        densities = np.full(self._trainings, np.nan)
        for pattern, (white, _, z), along in zip(self._patterns, w.patterns, self._residuals(w)[0], strict=True):
            if pattern.kept[0] != 0:
                continue
            size = len(pattern.kept)
            left = np.stack([matrix.toarray() for matrix in pattern.columns], 1) * w.scale
            left = np.einsum("vw,nwq->nvq", white, left) - z[:, None] * (w.c[:, None] * w.u)[pattern.owner, None]
            wide = linalg.solve_triangular(w.factor, left.reshape(-1, len(w.scale)).T, lower=True).T.reshape(left.shape)
            inside = np.eye(size) - w.c[pattern.owner][:, None, None] * np.outer(z, z) - wide @ wide.transpose(0, 2, 1)
            covariance = np.linalg.inv(white.T @ inside @ white)
            away = (covariance @ (along @ white)[..., None])[:, 0, 0]
            densities[pattern.rows] = -0.5 * (away**2 / covariance[:, 0, 0] + np.log(2 * np.pi * covariance[:, 0, 0]))
        return densities

    def _gradient(self, theta: np.ndarray, w: _Solved) -> np.ndarray:
        """The gradient of the loss, without the part of the prior."""
        count, v = len(self.terms), self.views
        first = count + 1
        inverse = linalg.solve_triangular(w.factor, np.eye(len(w.factor)), lower=True)
        posterior = inverse.T @ inverse
        alphas, total = self._residuals(w)
        slope = np.zeros(len(theta))
        leverage = 1 - np.diag(posterior)
        slope[:count] = np.bincount(self.kinds + 1, leverage - w.scaled**2, minlength=count + 1)[1:]
        spread = w.u @ posterior
        known, less = np.einsum("nq,nq->n", spread, w.u), 1 + w.deviation**2 * w.zz
        slope[count] = w.deviation**2 * float((w.zz / less - known / less**2 - total**2).sum())
        spread *= w.c[:, None] * w.scale
        posterior *= w.scale * w.scale[:, None]
        wrong = np.zeros((v, v))
        for one, (white, _, z), alpha in zip(self._patterns, w.patterns, alphas, strict=True):
            size = len(one.kept)
            wide = np.zeros((size, size))
            for place, product in one.products.items():
                wide[place] = wide[place[::-1]] = product.times(posterior) / (1 if place[0] == place[1] else 2)
            across = np.outer(white @ [entries.times(spread) for entries in one.sums], z)
            wide = white @ wide @ white.T - across - across.T + one.count @ (w.c**2 * known) * np.outer(z, z)
            inside = len(one.rows) * np.eye(size) - one.count @ w.c * np.outer(z, z) - wide - alpha.T @ alpha
            wrong[np.ix_(one.kept, one.kept)] += white.T @ inside @ white
            pulled = len(one.rows) - ((alpha @ white) * one.values * np.exp(-w.lengths[one.kept])).sum(0)
            for view, pull in zip(one.kept, pulled, strict=True):
                if view:
                    slope[first + v + view - 1] += pull
        step = 1e-6
        for index in [*range(v), *range(2 * v - 1, len(slope) - first)]:
            moved = np.zeros(len(theta))
            moved[first + index] = step
            change = (self.noise(theta + moved) - self.noise(theta - moved)) / (2 * step)
            slope[first + index] += 0.5 * float((wrong * change).sum())
        return slope
