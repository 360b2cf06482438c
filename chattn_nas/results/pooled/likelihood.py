"""The likelihood of a study's readings given the standard deviations of the model's terms, and its gradient.

Every term but the noise and the deviation of a network is a sum of columns of the design, so the covariance of all
readings is a matrix of low rank, plus a block per network, plus a block per training: Woodbury's identity solves it
with matrices of the number of columns, however many trainings there are.
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


class _Solved(NamedTuple):
    """Whitened columns (readings, columns), readings and ones, sums over networks, and what was solved with them."""

    a: np.ndarray
    y: np.ndarray
    z: np.ndarray
    owner: np.ndarray
    gather: sparse.csr_array
    u: np.ndarray
    zz: np.ndarray
    zy: np.ndarray
    c: np.ndarray
    factor: np.ndarray
    half: np.ndarray
    scaled: np.ndarray
    logdet: float
    scale: np.ndarray
    deviation: float
    whites: list[np.ndarray]
    lengths: np.ndarray

    def residuals(self) -> tuple[np.ndarray, np.ndarray]:
        """The inverse covariance times the readings, and a factor of what the columns take from it."""
        residual = self.y - self.a @ self.scaled
        alpha = residual - self.z * (self.c * (self.gather @ residual))[self.owner]
        left = self.a - self.z[:, None] * (self.c[:, None] * self.u)[self.owner]
        return alpha, linalg.solve_triangular(self.factor, left.T, lower=True).T


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
        self._patterns = []
        self._places, self._rows = [], np.arange(len(values))
        there = np.isfinite(values)
        for mask, extra in sorted({(tuple(row), float(v)) for row, v in zip(there.tolist(), own, strict=True)}):
            rows = np.flatnonzero((there == mask).all(1) & (own == extra))
            kept = np.flatnonzero(mask)
            if len(kept):
                self._places.append(rows)
                self._patterns.append(
                    (kept, extra, design.matrix[np.ix_(rows, kept)], values[np.ix_(rows, kept)], networks[rows])
                )
        self._owner = np.concatenate([np.repeat(owner, len(kept)) for kept, _, _, _, owner in self._patterns])
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
        evidence = -0.5 * (float(w.y @ w.y - w.c @ w.zy**2 - w.half @ w.half) + w.logdet)
        away = (theta - self.guess) / self.spread
        slope = np.zeros(0)
        if gradient:
            alpha, spread = w.residuals()
            inverse = linalg.solve_triangular(w.factor, np.eye(len(w.factor)), lower=True)
            leverage = 1 - (inverse**2).sum(0)
            slope = away / self.spread
            slope[:count] += np.bincount(self.kinds + 1, leverage - w.scaled**2, minlength=count + 1)[1:]
            pulled = ((w.gather @ spread) ** 2).sum() + ((w.gather @ alpha) ** 2).sum()
            slope[count] += w.deviation**2 * float((w.zz / (1 + w.deviation**2 * w.zz)).sum() - pulled)
            slope[count + 1 :] += self._noise_slope(theta, w, alpha, spread)
        return State(
            loss=-evidence + 0.5 * float(away @ away), gradient=slope, scale=w.scale, scaled=w.scaled, factor=w.factor,
            own=w.c, pull=w.c[:, None] * w.u, residual=w.c * w.zy, deviation=w.deviation, sds=np.exp(theta[:count]),
            noise=float(np.exp(theta[count + 1])),
        )  # fmt: skip

    def _solve(self, theta: np.ndarray) -> _Solved:
        count, v = len(self.terms), self.views
        scale = np.where(self.kinds < 0, FLAT * self.size, np.exp(theta[:count])[self.kinds])
        deviation = float(np.exp(theta[count]))
        noise = self.noise(theta)
        lengths = np.concatenate([[0.0], theta[count + 1 + v : count + 2 * v]])
        whites, blocks, logdet = [], [], 0.0
        for kept, extra, matrix, values, _ in self._patterns:
            block = noise[np.ix_(kept, kept)].copy()
            block[0, 0] += extra * (kept[0] == 0)
            factor = np.linalg.cholesky(block)
            white = linalg.solve_triangular(factor, np.eye(len(kept)), lower=True)
            logdet += 2 * len(values) * float(np.log(np.diag(factor)).sum() + lengths[kept].sum())
            whites.append(white)
            blocks.append((
                np.einsum("vw,nwq->nvq", white, matrix).reshape(-1, matrix.shape[2]),
                ((values * np.exp(-lengths[kept])) @ white.T).ravel(), np.tile(white.sum(1), len(values)),
            ))  # fmt: skip
        a, y, z = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        a *= scale
        gather = sparse.csr_array((z, (self._owner, np.arange(len(z)))), shape=(self.networks, len(z)))
        u, zz, zy = gather @ a, np.bincount(self._owner, z * z), gather @ y
        c = deviation**2 / (1 + deviation**2 * zz)
        precision = a.T @ a - u.T @ (c[:, None] * u)
        precision[np.diag_indices_from(precision)] += 1.0
        factor = np.linalg.cholesky(precision)
        half = linalg.solve_triangular(factor, a.T @ y - u.T @ (c * zy), lower=True)
        scaled = linalg.solve_triangular(factor, half, lower=True, trans=1)
        logdet += float(np.log1p(deviation**2 * zz).sum()) + 2 * float(np.log(np.diag(factor)).sum())
        return _Solved(a, y, z, self._owner, gather, u, zz, zy, c, factor, half, scaled, logdet, scale, deviation,
                       whites, lengths)  # fmt: skip

    def held_out(self, theta: np.ndarray) -> np.ndarray:
        """Log density of every complete training's accuracy given all other trainings, none of its own readings.

        In the order of patterns: comparable between two models of the same trainings only as a set.
        """
        w = self._solve(theta)
        alpha, spread = w.residuals()
        found, at = np.full(len(self._rows), np.nan), 0
        for (kept, _, _, values, owner), white, rows in zip(self._patterns, w.whites, self._places, strict=True):
            size = len(kept)
            part = slice(at, at + len(values) * size)
            at += len(values) * size
            if kept[0] != 0:
                continue
            wide, along, ones = (
                spread[part].reshape(len(values), size, -1),
                alpha[part].reshape(-1, size),
                w.z[part][:size],
            )
            inside = (
                np.eye(size) - w.c[owner][:, None, None] * np.outer(ones, ones) - np.einsum("nvq,nwq->nvw", wide, wide)
            )
            inside = white.T @ inside @ white
            covariance = np.linalg.inv(inside)
            away = (covariance @ (along @ white)[..., None])[:, 0, 0]
            found[rows] = -0.5 * (away**2 / covariance[:, 0, 0] + np.log(2 * np.pi * covariance[:, 0, 0]))
        return found

    def _noise_slope(self, theta: np.ndarray, w: _Solved, alpha: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Gradient by the views' noise, scales and correlations."""
        v, first, at = self.views, len(self.terms) + 1, 0
        wrong = np.zeros((v, v))
        slope = np.zeros(len(theta) - first)
        for (kept, _, _, values, owner), white in zip(self._patterns, w.whites, strict=True):
            size = len(values) * len(kept)
            rows = slice(at, at + size)
            at += size
            along = alpha[rows].reshape(-1, len(kept))
            wide = spread[rows].reshape(len(values), len(kept), -1)
            ones = w.z[rows][: len(kept)]
            inside = len(values) * np.eye(len(kept)) - w.c[owner].sum() * np.outer(ones, ones)
            inside -= np.einsum("nvq,nwq->vw", wide, wide, optimize=True) + along.T @ along
            wrong[np.ix_(kept, kept)] += white.T @ inside @ white
            pulled = len(values) - ((along @ white) * values * np.exp(-w.lengths[kept])).sum(0)
            for view, pull in zip(kept, pulled, strict=True):
                if view:
                    slope[v + view - 1] += pull
        step = 1e-6
        for index in [*range(v), *range(2 * v - 1, len(slope))]:
            moved = np.zeros(len(theta))
            moved[first + index] = step
            change = (self.noise(theta + moved) - self.noise(theta - moved)) / (2 * step)
            slope[index] += 0.5 * float((wrong * change).sum())
        return slope
