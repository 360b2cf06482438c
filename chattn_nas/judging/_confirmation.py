"""The result of a confirmation: scores per network, paired differences to its rivals, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import optuna
import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.errors import RunError
from chattn_nas.judging.comparison import ALPHA, Comparison, compare_block, told_outliers
from chattn_nas.results import Pick, Standing, words
from chattn_nas.spec.judging_settings import USEFUL
from chattn_nas.stored import Stored, renamed
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.metric import named
from chattn_nas.study.record import RIVAL
from chattn_nas.unit import ACCURACY, Unit

#: Roles of what every network is compared with, and what a reader calls them.
RIVALS = {
    "uniform": "the best uniform choice",
    "none": "no attention",
    RIVAL: "a learned factor per channel",
}
#: Share of the total error that the first look spends: most users confirm once.
FIRST_LOOK = 0.76


def alpha_of(look: int) -> float:
    """The error allowed at look number ``look`` (from 1); over all looks it adds up to 5 % (alpha spending)."""
    return FIRST_LOOK * ALPHA if look == 1 else (1 - FIRST_LOOK) * ALPHA / (look * (look - 1))


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a confirmation; scores are as shown, such as percent.

    Attributes:
        hash, name: The architecture's canonical hash, and its name for readers.
        roles: ``candidate`` (among the best of the search), ``uniform`` (the best uniform baseline), ``none``,
            ``channel_scale``, ``control``; it may have several.
        search, search_pooled, search_seeds: Mean, pooled mean and number of seeds in the search.
        scores: Confirmed validation score by seed, for the seeds that all networks have.
        uniform, none, channel_scale: Comparison with the best uniform baseline, with no attention, and with a learned
            factor per channel.
        failures: What went wrong, by seed; a training that diverged still counts, with its score or chance.
        left_out: Scores on seeds that some other network lacks.
        outliers: Scores far from the effects of network and seed, mostly collapses. They count.
    """

    hash: str
    name: str
    roles: tuple[str, ...]
    search: float | None
    search_pooled: float | None
    search_seeds: int
    scores: Mapping[int, float]
    uniform: Comparison | None = None
    none: Comparison | None = None
    channel_scale: Comparison | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    left_out: Mapping[int, float] = field(default_factory=dict)
    outliers: Mapping[int, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean score over seeds; NaN if all failed."""
        return float(np.mean(list(self.scores.values()))) if self.scores else float("nan")

    @property
    def sd(self) -> float:
        """Standard deviation over seeds; NaN with fewer than two."""
        return float(np.std(list(self.scores.values()), ddof=1)) if len(self.scores) > 1 else float("nan")


@dataclass(frozen=True, kw_only=True)
class Confirmation(Stored):
    """The result.

    Attributes:
        networks: Candidates first, best first; then the baselines.
        winner: Hash of the candidate with the highest confirmed mean.
        rival: Hash of the network it is judged against: the best uniform baseline, or ``none`` if it is that itself.
        epochs: Length of each training.
        test: Score on the test set by hash and seed, once it was read.
        test_images: Number of test images; 0 if there is no test set.
        look: How many times different trainings of this run have been judged, including this time.
        useful: The spec's smallest difference worth having, in points.
        unit: Unit of the scores; ``None`` is percent.
    """

    FORMAT: ClassVar[int] = 3

    networks: tuple[Network, ...]
    winner: str
    rival: str | None
    epochs: int
    test: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    test_images: int = 0
    look: int = 1
    useful: float = USEFUL
    unit: Mapping[str, Any] | None = None

    def network(self, hash: str) -> Network:
        """The network with that hash."""
        return next(one for one in self.networks if one.hash == hash)

    @property
    def judgement(self) -> Comparison | None:
        """The winner against its rival."""
        if self.rival is None:
            return None
        winner, rival = self.network(self.winner), self.network(self.rival)
        return next((getattr(winner, role) for role in RIVALS if role in rival.roles), None)

    @property
    def told_in(self) -> Unit:
        """The unit of all scores."""
        return Unit.from_dict(self.unit) if self.unit else ACCURACY

    @property
    def headline(self) -> str:
        """The verdict in a dozen words."""
        return named(self._headline, self.told_in)

    @property
    def _headline(self) -> str:
        comparison = self.judgement
        name = self.network(self.winner).name
        if comparison is None or self.rival is None:
            return f"{name} is confirmed first"
        rival = self.network(self.rival).name
        if comparison.judgement == "no difference shown":
            return f"No difference shown between {name} and {rival}"
        return f"{name} is {comparison.judgement} than {rival} by about {comparison.size:.2f} points"

    @property
    def words(self) -> str:
        """The verdict in a few sentences; ``**`` marks what is bold."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> list[str]:
        """The findings that :attr:`words` consists of."""
        return [named(one, self.told_in) for one in self._sentences]

    @property
    def _sentences(self) -> list[str]:
        winner = self.network(self.winner)
        said = [
            f"**Retrained** on {words.plural(len(winner.scores), 'new seed')} of {words.plural(self.epochs, 'epoch')} "
            f"each, {winner.name} reaches {winner.mean:.2f} % (standard deviation {winner.sd:.2f}), where the search "
            f"had said {words.searched(winner.search_pooled, winner.search)} after trainings of its own length."
        ]
        for role, called in RIVALS.items():
            rival: Comparison | None = getattr(winner, role)
            if rival is not None:
                low, high = rival.t_low, rival.t_high
                interval = (
                    "no interval" if low is None
                    else f"simultaneous {rival.level} interval {words.interval(low, high)}"
                )  # fmt: skip
                said.append(
                    f"Against {called}: **{rival.words}** ({words.signed(rival.mean)}, {interval}, "
                    f"{words.p_value(rival.p)}, sign test {words.p_value(rival.sign_p)})."
                )
                unshown = rival.judgement == "no difference shown"
                if unshown and low is not None and high is not None and max(-low, high) < self.useful:
                    said.append(f"The interval excludes a useful difference ({self.useful:g} points).")
        if self.look > 1:
            said.append(f"This is look number {self.look} at this run; the error of each is counted.")
        said += self._failures()
        scores = [f"{self.network(key).name} {self._mean_text(values)}" for key, values in self.test.items()]
        if scores:
            count = f" ({words.plural(self.test_images, 'image')})" if self.test_images else ""
            said.append(f"On the test set{count}, read once: {', '.join(scores)}.")
        elif self.test_images:
            said.append("The test set was read before, for other networks of this run, and is not read again.")
        else:
            said.append("There is no test set: this rests on the validation images, which the search also used.")
        return said

    def _failures(self) -> list[str]:
        """Sentences on the trainings that failed and the seeds that were left out for it."""
        sentences = []
        for network in self.networks:
            kinds = Counter(network.failures.values())
            if kinds:
                failures = ", ".join(f"{words.plural(count, 'training')} {reason}" for reason, count in kinds.items())
                sentences.append(f"Of {network.name}, {failures}.")
            if network.outliers:
                values = ", ".join(f"{value:.2f} %" for value in network.outliers.values())
                sentences.append(
                    f"Of {network.name}, {words.plural(len(network.outliers), 'training')} ended far from the rest "
                    f"({values}): that counts, and widens the intervals of this network alone."
                )
        for network in self.networks:
            if network.left_out and not network.scores:
                seeds = words.plural(len(network.left_out), "seed")
                sentences.append(
                    f"{network.name} ended on {seeds} alone, too few that others share: it is not compared."
                )
        gone = sorted({seed for network in self.networks if network.scores for seed in network.left_out})
        if gone:
            sentences.append(f"Not every network was trained on {words.plural(len(gone), 'seed')}: left out.")
        return sentences

    def _mean_text(self, scores: Mapping[str, float]) -> str:
        return self.told_in.text(float(np.mean(list(scores.values()))))

    def figures(self, hash: str) -> dict[str, str]:
        """The findings on one network, by name; empty if it was not retrained."""
        network = next((one for one in self.networks if one.hash == hash and one.scores), None)
        if network is None:
            return {}
        spread = f", standard deviation {network.sd:.2f}" if len(network.scores) > 1 else ""
        texts = {"validation accuracy": f"{network.mean:.2f} %{spread}, {words.plural(len(network.scores), 'seed')}"}
        texts["training"] = f"{words.plural(self.epochs, 'epoch')} each"
        for role, called in RIVALS.items():
            rival: Comparison | None = getattr(network, role)
            if rival is not None:
                interval = words.interval(rival.t_low, rival.t_high)
                texts[f"against {called}"] = f"{words.signed(rival.mean)}, interval {interval}: {rival.words}"
        if hash in self.test:
            texts["test accuracy"] = self._mean_text(self.test[hash])
        return {named(key, self.told_in): named(value, self.told_in) for key, value in texts.items()}

    def table(self) -> pd.DataFrame:
        """One row per network: search score beside confirmed score, differences with intervals, verdicts."""
        rows = []
        for one in self.networks:
            row: dict[str, Any] = {
                "network": one.name, "roles": ", ".join(one.roles), "search": one.search,
                "search_pooled": one.search_pooled, "seeds": len(one.scores), "mean": one.mean, "sd": one.sd,
            }  # fmt: skip
            for name in RIVALS:
                comparison = getattr(one, name)
                for key in ("mean", "t_low", "t_high", "bootstrap_low", "bootstrap_high", "p", "sign_p", "words"):
                    column = {"mean": f"vs_{name}", "words": f"verdict_{name}"}.get(key, f"{key}_{name}")
                    row[column] = getattr(comparison, key) if comparison is not None else None
            rows.append(row | {"hash": one.hash})
        return pd.DataFrame(rows)

    def beside(self, standing: Standing) -> Confirmation:
        """This confirmation with today's scores of the search, which may have continued since."""
        today = {pick.hash: pick for pick in standing.picks}
        networks = [
            replace(one, search=pick.mean, search_pooled=pick.pooled, search_seeds=len(pick.seeds))
            if (pick := today.get(one.hash)) else one
            for one in self.networks
        ]  # fmt: skip
        return replace(self, networks=tuple(networks))

    def with_test(self, test: Mapping[str, Mapping[str, float]], images: int) -> Confirmation:
        """This confirmation with the scores on the test set."""
        return replace(self, test=test, test_images=images)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; scores are stored as fractions, as everywhere in a study, and differences in points."""
        plain = super().to_dict()
        return plain | {"networks": [_with_scores(one, self.told_in.stored) for one in plain["networks"]]}

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 called scores accuracies, and its p-values were corrected by Holm's method; up to format 2 scores
        were stored as they are shown."""
        networks = list(data["networks"])
        if format == 1:
            for index, one in enumerate(networks):
                compared = {role: renamed(one[role], p="plain_p", p_holm="p") for role in RIVALS if one.get(role)}
                networks[index] = renamed(one, accuracies="scores") | compared
        if format > 2:
            unit = Unit.from_dict(data["unit"]) if data.get("unit") else ACCURACY
            networks = [
                _with_scores(one, lambda score: None if score is None else unit.shown(score)) for one in networks
            ]
        return data | {"networks": networks}


def _with_scores(network: Mapping[str, Any], converted: Callable[[float | None], float | None]) -> dict[str, Any]:
    """The plain values of a network, its scores in another unit."""
    by_seed = {
        name: {seed: converted(score) for seed, score in network[name].items()}
        for name in ("scores", "left_out", "outliers") if name in network
    }  # fmt: skip
    return {**network, **{name: converted(network.get(name)) for name in ("search", "search_pooled")}, **by_seed}


@checked
def confirmation(study: optuna.Study) -> Confirmation | None:
    """Return the result of ``confirm`` for this study, ``None`` if there is none."""
    kept = study_attributes(study).confirmation
    return Confirmation.from_dict(kept, "the confirmation") if kept else None


def confirmed_winner(study: optuna.Study, standing: Standing) -> Pick | None:
    """Return the winner of the confirmation; ``None`` if there is none, or if the search has a new leader since."""
    confirmed = confirmation(study)
    if confirmed is None or standing.best().hash not in {network.hash for network in confirmed.networks}:
        return None
    return next((pick for pick in standing.picks if pick.hash == confirmed.winner), None)


def judge(
    networks: Sequence[Network],
    *,
    epochs: int,
    look: int = 1,
    useful: float = USEFUL,
    unit: Mapping[str, Any] | None = None,
) -> Confirmation:
    """Compare every network with the best uniform baseline, none and the channel scale, on the seeds that all have.

    One family: every candidate and the best uniform baseline against each of these rivals. The controls' differences
    are a family of their own, since they are no claims. A network without any result is reported and left out.

    Args:
        networks: The networks with all of their scores.
        epochs: Length of each training.
        look: How many times different trainings of this run have been judged, including this time.
        useful: Smallest difference worth having, in points.
        unit: Unit of the scores; ``None`` is percent.

    Raises:
        RunError: No candidate was trained on two seeds.
    """
    networks = on_common_seeds(networks)
    able = [index for index, one in enumerate(networks) if len(one.scores) > 1]
    if not any("candidate" in networks[index].roles for index in able):
        raise RunError("no candidate of this confirmation was trained on two seeds; call confirm again to go on")
    table = np.array([list(networks[index].scores.values()) for index in able])
    compared: dict[tuple[int, str], Comparison] = {}
    for family in families([networks[index].roles for index in able]):
        comparisons = compare_block(table, [(one, other) for one, other, _ in family], alpha=alpha_of(look))
        compared |= {(able[one], role): each for (one, _, role), each in zip(family, comparisons, strict=True)}
    far = told_outliers(table)
    judged = [
        replace(
            one, uniform=compared.get((index, "uniform")), none=compared.get((index, "none")),
            channel_scale=compared.get((index, RIVAL)),
            outliers=_where(far[able.index(index)], one.scores) if index in able else {},
        ) for index, one in enumerate(networks)
    ]  # fmt: skip
    judged.sort(key=lambda one: ("candidate" not in one.roles, -one.mean if one.scores else float("inf")))
    winner = judged[0]
    role = next((role for role in RIVALS if getattr(winner, role) is not None), None)
    rival = next((networks[index].hash for index in able if role in networks[index].roles), None)
    return Confirmation(
        networks=tuple(judged), winner=winner.hash, rival=rival, epochs=epochs, look=look, useful=useful, unit=unit
    )


def _where(far: np.ndarray, scores: Mapping[int, float]) -> dict[int, float]:
    return {seed: value for (seed, value), is_far in zip(scores.items(), far, strict=True) if is_far}


def families(roles: Sequence[Collection[str]]) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]:
    """Return the pairs to compare, with the rival's role: the claims, and the controls' differences.

    Every candidate and the best uniform network meet every rival; ``none`` claims nothing, unless it is a candidate.

    Args:
        roles: Of each network.
    """
    rivals = {role: next((place for place, own in enumerate(roles) if role in own), None) for role in RIVALS}
    claimed: list[tuple[int, int, str]] = []
    controls: list[tuple[int, int, str]] = []
    for place, own in enumerate(roles):
        candidate = "candidate" in own
        family = controls if not candidate and {"control", RIVAL} & set(own) else claimed
        for role, rival in rivals.items():
            if rival is not None and rival != place and (candidate or "none" not in own):
                family.append((place, rival, role))
    return claimed, controls


def on_common_seeds(networks: Sequence[Network]) -> list[Network]:
    """The same with scores on the seeds that all have that have any: two good seeds of five once won.

    Where all share fewer than two, those with the fewest go: controls first, candidates last of equals.
    """
    having = [one for one in networks if one.scores]
    while having:
        common = set.intersection(*(set(one.scores) for one in having))
        if len(common) > 1 or len(having) == 1:
            break
        having.remove(min(having, key=lambda one: (len(one.scores), "candidate" in one.roles, "none" in one.roles)))
    trimmed = []
    for one in networks:
        kept = {seed: one.scores[seed] for seed in sorted(common) if one in having} if having else {}
        rest = {seed: value for seed, value in one.scores.items() if seed not in kept}
        trimmed.append(replace(one, scores=kept, left_out=rest))
    return trimmed
