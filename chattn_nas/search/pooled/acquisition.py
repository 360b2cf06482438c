"""Chooses the candidate to train next, from joint draws of the candidates' worth.

``thompson``: the best of one draw (Thompson, 1933). ``top_two``: half the time the best of a draw with another winner,
to tell the leader from its rivals (Russo, 2020, "Simple Bayesian algorithms for best-arm identification"). ``upper``:
the highest mean plus one standard deviation. ``gradient``: the largest expected rise of the best posterior mean by one
more training (Frazier, Powell, Dayanik, 2009, "The knowledge-gradient policy for correlated normal beliefs").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: Draws that a rule is given.
DRAWS = 256
#: Nodes and weights of a standard normal variable, for the gradient.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)

Rule = Callable[[np.ndarray, float, np.random.Generator], int]


def thompson(draws: np.ndarray, noise: float, rng: np.random.Generator) -> int:
    """The best of one draw; ``draws`` is (draws, candidates), ``noise`` the standard deviation of one training."""
    return int(draws[0].argmax())


def top_two(draws: np.ndarray, noise: float, rng: np.random.Generator) -> int:
    """The best of one draw or, half the time, of the next draw that has another winner."""
    best = draws.argmax(1)
    others = best[best != best[0]]
    return int(others[0]) if len(others) and rng.random() < 0.5 else int(best[0])


def upper(draws: np.ndarray, noise: float, rng: np.random.Generator) -> int:
    """The highest mean plus one standard deviation."""
    return int((draws.mean(0) + draws.std(0)).argmax())


def gradient(draws: np.ndarray, noise: float, rng: np.random.Generator) -> int:
    """The training from which the best posterior mean is expected to rise most."""
    mean, away = draws.mean(0), draws - draws.mean(0)
    covariance = away.T @ away / len(draws)
    step = covariance / np.sqrt(np.diag(covariance) + noise**2)[:, None]
    weights = _WEIGHTS / _WEIGHTS.sum()
    value = sum(w * (mean + node * step).max(1) for node, w in zip(_NODES, weights, strict=True))
    return int(np.argmax(value))


#: The one that is used; `chattn-nas compare-samplers --method "pooled by thompson"` tries the others.
RULE = "gradient"
RULES: dict[str, Rule] = {"thompson": thompson, "top_two": top_two, "upper": upper, "gradient": gradient}


def scalarised(draws: np.ndarray, costs: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Turn draws of several objectives into draws of one number: the worst, by random weights.

    This is the augmented Chebyshev norm of Knowles (2006, "ParEGO"): over many trials its weights cover the whole
    front.

    Args:
        draws: Draws of the accuracy, (draws, candidates).
        costs: The known costs, each (candidates,).
        rng: Draws the weights.
    """
    weights = rng.dirichlet(np.ones(1 + len(costs)))
    low, high = draws.min(), draws.max()
    losses = [weights[0] * (high - draws) / max(high - low, 1e-9)]
    for weight, cost in zip(weights[1:], costs, strict=True):
        losses.append(np.broadcast_to(weight * (cost - cost.min()) / max(float(np.ptp(cost)), 1e-9), draws.shape))
    stacked = np.stack(losses)
    return np.asarray(-(stacked.max(0) + 0.05 * stacked.sum(0)))
