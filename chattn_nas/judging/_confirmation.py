"""What a confirmation found: per network its scores, its paired differences to two rivals, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from chattn_nas.errors import RunError
from chattn_nas.judging.comparison import Comparison, compare, holm
from chattn_nas.results import words
from chattn_nas.study.record import RIVAL

#: Roles of what every network is compared with, and what a reader calls them.
RIVALS = {
    "uniform": "the best uniform choice",
    "none": "no attention",
    RIVAL: "a learned factor per channel",
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a confirmation; accuracies in percent.

    Attributes:
        hash, name: The architecture's canonical hash, and its name for readers.
        roles: ``candidate`` (among the best of the search), ``uniform`` (the best uniform baseline), ``none``,
            ``channel_scale``, ``control``; it may have several.
        search, search_pooled, search_seeds: What the search said: mean, pooled mean, number of seeds.
        accuracies: Confirmed validation accuracy by seed.
        uniform, none, channel_scale: Comparison with the best uniform baseline, with no attention, and with a learned
            factor per channel.
    """

    hash: str
    name: str
    roles: tuple[str, ...]
    search: float | None
    search_pooled: float | None
    search_seeds: int
    accuracies: Mapping[int, float]
    uniform: Comparison | None = None
    none: Comparison | None = None
    channel_scale: Comparison | None = None

    @property
    def mean(self) -> float:
        """Over seeds; NaN where all failed."""
        return float(np.mean(list(self.accuracies.values()))) if self.accuracies else float("nan")

    @property
    def sd(self) -> float:
        """Over seeds; NaN with fewer than two."""
        return float(np.std(list(self.accuracies.values()), ddof=1)) if len(self.accuracies) > 1 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, mean and sd included."""
        plain = asdict(self) | {"mean": self.mean, "sd": self.sd, "seeds": len(self.accuracies)}
        return plain | {
            "accuracies": {str(seed): value for seed, value in self.accuracies.items()},
            "roles": list(self.roles),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Network:
        """From what :meth:`to_dict` gave."""
        fields = {key: value for key, value in data.items() if key not in ("mean", "sd", "seeds")}
        for rival in RIVALS:
            fields[rival] = Comparison.from_dict(data[rival]) if data.get(rival) else None
        accuracies = {int(seed): value for seed, value in data["accuracies"].items()}
        return cls(**{**fields, "accuracies": accuracies, "roles": tuple(data["roles"])})


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The result.

    Attributes:
        networks: Candidates first, best first; then the baselines.
        winner: Hash of the candidate with the highest confirmed mean.
        rival: Hash of what it is judged against: the best uniform baseline, or ``none`` where it is that itself.
        epochs: Length of each training.
        test: Accuracy on the test set by hash and seed, once it was read.
    """

    networks: tuple[Network, ...]
    winner: str
    rival: str | None
    epochs: int
    test: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def network(self, hash: str) -> Network:
        """The network with that hash."""
        return next(one for one in self.networks if one.hash == hash)

    @property
    def judgement(self) -> Comparison | None:
        """The winner against its rival."""
        if self.rival is None:
            return None
        winner, rival = self.network(self.winner), self.network(self.rival)
        return winner.uniform if "uniform" in rival.roles else winner.none

    @property
    def headline(self) -> str:
        """A dozen words."""
        found = self.judgement
        name = self.network(self.winner).name
        if found is None or self.rival is None:
            return f"{name} is confirmed first"
        rival = self.network(self.rival).name
        if found.judgement == "no difference shown":
            return f"No difference shown between {name} and {rival}"
        return f"{name} is {found.judgement} than {rival} by {abs(found.mean):.2f} points"

    @property
    def words(self) -> str:
        """The verdict in a few sentences; ``**`` marks what is bold."""
        winner = self.network(self.winner)
        said = [
            f"over {len(winner.accuracies)} new seeds of {self.epochs} epochs each, {winner.name} reaches "
            f"{winner.mean:.2f} % (standard deviation {winner.sd:.2f}), where the search had said "
            f"{words.accuracy(winner.search)} % after fewer epochs."
        ]
        for role, called in RIVALS.items():
            rival: Comparison | None = getattr(winner, role)
            if rival is not None:
                said.append(
                    f"Against {called}: **{rival.words}** ({words.signed(rival.mean)}, 95 % interval "
                    f"{words.interval(rival.t_low, rival.t_high)}, Holm-corrected p {rival.p_holm:.3f}, sign test p "
                    f"{rival.sign_p:.3f})."
                )
        scores = [
            f"{self.network(key).name} {100 * float(np.mean(list(values.values()))):.2f} %"
            for key, values in self.test.items()
        ]
        if scores:
            said.append(f"On the test set, read once: {', '.join(scores)}.")
        return " ".join(said)

    def figures(self, hash: str) -> dict[str, str]:
        """What was confirmed of one network, in words by name; nothing where it was not among those retrained."""
        found = next((one for one in self.networks if one.hash == hash and one.accuracies), None)
        if found is None:
            return {}
        spread = f", standard deviation {found.sd:.2f}" if len(found.accuracies) > 1 else ""
        said = {"validation accuracy": f"{found.mean:.2f} %{spread}, {len(found.accuracies)} seeds"}
        said["training"] = f"{self.epochs} epochs each"
        for role, called in RIVALS.items():
            rival: Comparison | None = getattr(found, role)
            if rival is not None:
                interval = words.interval(rival.t_low, rival.t_high)
                said[f"against {called}"] = f"{words.signed(rival.mean)}, 95 % interval {interval}: {rival.words}"
        if hash in self.test:
            said["test accuracy"] = f"{100 * float(np.mean(list(self.test[hash].values()))):.2f} %"
        return said

    def table(self) -> pd.DataFrame:
        """One row per network: search score beside confirmed score, differences with intervals, verdicts."""
        rows = []
        for one in self.networks:
            row: dict[str, Any] = {
                "network": one.name, "roles": ", ".join(one.roles), "search": one.search,
                "search_pooled": one.search_pooled, "seeds": len(one.accuracies), "mean": one.mean, "sd": one.sd,
            }  # fmt: skip
            for name in RIVALS:
                found = getattr(one, name)
                for key in ("mean", "t_low", "t_high", "bootstrap_low", "bootstrap_high", "p_holm", "sign_p", "words"):
                    column = {"mean": f"vs_{name}", "words": f"verdict_{name}"}.get(key, f"{key}_{name}")
                    row[column] = getattr(found, key) if found is not None else None
            rows.append(row | {"hash": one.hash})
        return pd.DataFrame(rows)

    def with_test(self, test: Mapping[str, Mapping[str, float]]) -> Confirmation:
        """The same with what the test set said."""
        return replace(self, test=test)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``headline`` and ``words`` are there for readers that do not import this."""
        return {
            "networks": [one.to_dict() for one in self.networks],
            "winner": self.winner,
            "rival": self.rival,
            "epochs": self.epochs,
            "test": {key: dict(values) for key, values in self.test.items()},
            "headline": self.headline,
            "words": self.words,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Confirmation:
        """From what :meth:`to_dict` gave."""
        networks = tuple(Network.from_dict(one) for one in data["networks"])
        return cls(networks=networks, **{key: data[key] for key in ("winner", "rival", "epochs", "test")})


def judge(networks: Sequence[Network], *, epochs: int) -> Confirmation:
    """Compare every network with the best uniform baseline, none and the channel scale, on the seeds that both have.

    One family for Holm's correction: every candidate and the best uniform baseline against each of these rivals. The
    controls' differences are shown beside it, uncorrected: they are no claim.

    Raises:
        RunError: No candidate was trained on two seeds.
    """
    if not any("candidate" in one.roles and len(one.accuracies) > 1 for one in networks):
        raise RunError("no candidate of this confirmation was trained on two seeds; call confirm again to go on")
    rivals = {role: next((one for one in networks if role in one.roles), None) for role in RIVALS}
    pairs = [
        (index, role)
        for index, one in enumerate(networks)
        for role, rival in rivals.items()
        if rival is not None and rival.hash != one.hash and len(one.accuracies.keys() & rival.accuracies.keys()) > 1
        and not ("none" in one.roles and "candidate" not in one.roles)
    ]  # fmt: skip
    claims = [pair for pair in pairs if not {"control", RIVAL} & set(networks[pair[0]].roles)]
    compared = {pair: _paired(networks[pair[0]], rivals[pair[1]], max(len(claims), 1)) for pair in pairs}
    compared |= dict(zip(claims, holm([compared[pair] for pair in claims]), strict=True))
    judged = [
        replace(
            one,
            uniform=compared.get((index, "uniform")),
            none=compared.get((index, "none")),
            channel_scale=compared.get((index, RIVAL)),
        )
        for index, one in enumerate(networks)
    ]
    judged.sort(key=lambda one: ("candidate" not in one.roles, -one.mean if one.accuracies else float("inf")))
    winner = judged[0]
    rival = next((rivals[role] for role in ("uniform", "none") if rivals[role] and getattr(winner, role)), None)
    return Confirmation(networks=tuple(judged), winner=winner.hash, rival=rival.hash if rival else None, epochs=epochs)


def _paired(one: Network, rival: Network | None, family: int) -> Comparison:
    assert rival is not None
    seeds = sorted(one.accuracies.keys() & rival.accuracies.keys())
    return compare([one.accuracies[s] for s in seeds], [rival.accuracies[s] for s in seeds], family=family)
