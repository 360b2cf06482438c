"""The verdict on a search in one paragraph: the winner, its margin, how sure that is, its cost, confirmed or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import optuna
import pandas as pd
from scipy import stats

from chattn_nas.errors import RunError
from chattn_nas.judging import Confirmation, confirmation, confirmed_winner
from chattn_nas.judging.comparison import OUTLYING
from chattn_nas.results import Margin, Pick, Standing, words
from chattn_nas.results.pareto import front
from chattn_nas.results.tables import COSTS
from chattn_nas.results.words import FAILED, name_of
from chattn_nas.study.attributes import StudyAttributes, study_attributes
from chattn_nas.study.metric import floor_of, metric_of, unit_of
from chattn_nas.study.record import NONE, Record, once_per_seed

#: With fewer complete trainings than this, an interval depends on the model's assumptions.
FEW = 20
#: So many baselines have an order, and below this Kendall's tau it is another one than at the end.
LEAST_BASELINES, DISAGREE = 4, 0.2
#: So many trainings have a spread from which one can be far off, and a collapse costs at least this part of the score.
LEAST_SPREAD, LOST = 8, 0.2
#: A larger number of trainings is reported as "more than" this.
MOST_MORE = 10_000


@dataclass(frozen=True)
class Verdict:
    """What can be said of a study.

    Attributes:
        headline: The verdict in a dozen words.
        confirmed: Whether it rests on a confirmation.
        sentences: The paragraph; ``**`` marks bold text.
        details: Sentences below it.
    """

    headline: str
    confirmed: bool
    sentences: tuple[str, ...]
    details: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The status in one word."""
        return "confirmed" if self.confirmed else "unconfirmed"


def verdict(
    study: optuna.Study, records: list[Record], standing: Standing, board: pd.DataFrame, run: str | None = None
) -> Verdict:
    """The verdict of a study as it is now; ``board`` is its leaderboard, ``run`` its name in commands."""
    stored = study_attributes(study)
    name = run or stored.name or study.study_name
    try:
        best = standing.best()
    except RunError:
        return Verdict(
            "Nothing was trained to the end yet", False,
            (f"{words.plural(len(records), 'trial')} so far, none complete: there is nothing to compare.",),
        )  # fmt: skip
    confirmed = confirmation(study)
    confirmed = None if confirmed is None else confirmed.beside(standing)
    searched = [*_search(records, standing, best), *_images(stored, best), *_objectives(stored, board)]
    details = (
        [*_criteria(standing, best), *_noise(standing), *_rungs(records), *_views(standing)]
        if _others(standing, best)
        else []
    )
    if confirmed is None:
        sentences = [*searched, *_costs(best), *_unconfirmed(name)]
    elif (winner := confirmed_winner(study, standing)) is not None:
        sentences = [*confirmed.sentences, *_costs(winner)]
        details = [*searched, *details]
    else:
        yet = f"An earlier confirmation was about others: {confirmed.headline}."
        sentences = [*searched, *_costs(best), yet, *_unconfirmed(name)]
        confirmed = None
    low = floor_of(study)
    if low is not None:
        sentences.append(
            f"{low['by'][0].upper()}{low['by'][1:]} would score {unit_of(study).text(low['score'])} {metric_of(study)}."
        )
    return Verdict(_headline(standing, best, confirmed), confirmed is not None, tuple(sentences), tuple(details))


def _headline(standing: Standing, best: Pick, confirmed: Confirmation | None) -> str:
    if confirmed is not None:
        return confirmed.headline
    if not _others(standing, best):
        return f"Only {name_of(best)} was trained to the end so far"
    level = [pick for pick in standing.picks if pick.value("pooled") == best.value("pooled")]
    if len(level) > 1:
        return f"{len(level)} of {len(standing.picks)} architectures share the first place"
    if best.label == NONE:
        return "No attention at all leads"
    rival = standing.best_uniform()
    if rival is None or rival.hash == best.hash:
        return f"{name_of(best)} leads"
    margin = standing.margin(best, rival)
    if margin is None:
        return f"{best.description} leads"
    ahead = "leads" if margin.shown else "leads within the noise"
    return f"{best.description} {ahead}"


def _search(records: list[Record], standing: Standing, best: Pick) -> Iterator[str]:
    """What the trainings of the search say of the network that leads."""
    yield from _first(records, standing, best)
    if not _others(standing, best):
        yield "Nothing else was trained to the end yet: there is nothing to compare it with."
        return
    yield from _against_uniform(standing, best)
    none = standing.none()
    if none is not None and none.hash != best.hash:
        yield _against(standing.margin(best, none), best, none, "no attention")
        yield from _more(standing, best, none)
    elif none is not None:
        yield from _pays(standing, none)
    if best.label != NONE:
        yield from _against_controls(standing, best)
    yield from _far_off(records)
    yield from _rests(standing)


def _first(records: list[Record], standing: Standing, best: Pick) -> Iterator[str]:
    """Which network leads, at which score, and on how many trainings that rests."""
    complete = sum(record.score is not None for record in records)
    level = f"{words.accuracy(best.value('pooled'))} %"
    spread = (
        f" \N{PLUS-MINUS SIGN} {words.accuracy(best.sd)} (posterior standard deviation)" if best.sd is not None else ""
    )
    name = f"**{name_of(best)}**"
    leads = (
        f"the model that pools all of them puts {name} first"
        if best.sd is not None
        else f"the highest mean is that of {name}"
    )
    yield (
        f"Over {words.plural(complete, 'complete training')} of {words.plural(len(standing.picks), 'architecture')}, "
        f"{leads}, at {level}{spread} validation accuracy; "
        f"it was trained on {words.plural(len(best.seeds), 'seed')}."
    )
    failed = Counter(record.outcome for record in records if record.hash == best.hash and record.outcome in FAILED)
    if failed:
        failures = ", ".join(
            f"{words.plural(count, 'training')} {FAILED[outcome]}" for outcome, count in failed.items()
        )
        yield f"Of it, {failures}: no figure here counts that, and `confirm` does."


def _against_uniform(standing: Standing, best: Pick) -> Iterator[str]:
    """How the leading network stands against the best uniform one, or that against the best mixed one."""
    rival = standing.best_uniform()
    if rival is not None and rival.hash != best.hash:
        tried = (
            f", the best of the {standing.uniforms()} uniform ones that were trained" if standing.uniforms() > 1 else ""
        )
        yield _against(standing.margin(best, rival), best, rival, f"{name_of(rival)}{tried}")
    elif rival is not None:
        if len(best.stages) > 1:
            yield "The same attention in every stage leads."
        mixed = standing.best_mixed()
        if mixed is not None:
            yield _against(standing.margin(best, mixed), best, mixed, f"the best mixed network, {name_of(mixed)}")


def _against_controls(standing: Standing, best: Pick) -> Iterator[str]:
    """How an attention stands against what looks at nothing: a learned factor per channel, a random gate."""
    scale, control = standing.channel_scale(), standing.control()
    if scale is not None:
        yield _against(standing.margin(best, scale), best, scale, "a learned factor per channel, which never looks")
    if control is not None and control.value("pooled") >= best.value("pooled"):
        yield (
            f"The random-gate control, which learns nothing, reaches {words.accuracy(control.value('pooled'))} %: "
            "the gain is not evidence for attention."
        )
    elif control is not None:
        margin = standing.margin(best, control)
        if margin is None or not margin.shown:
            yield _against(margin, best, control, "the random gate, which learns nothing")


def _pays(standing: Standing, none: Pick) -> Iterator[str]:
    """Whether the study shows that attention gains nothing useful, if the backbone without any leads."""
    attention = standing.best_attention()
    margin = None if attention is None else standing.margin(attention, none)
    if attention is None:
        return
    useful = f"{standing.useful:g} points"
    if margin is None:
        yield f"Whether attention pays is **not shown yet**: there are too few trainings to tell a gain of {useful}."
        return
    stands = (
        f"the best network with any, {name_of(attention)}, stands at {words.signed(margin.mean)} points "
        f"(95 % interval {words.interval(margin.low, margin.high)}) against none"
    )
    if margin.high < standing.useful:
        yield f"**Attention does not pay here**: {stands}, which excludes a useful gain ({useful})."
    else:
        yield f"That attention does not pay is **not shown yet**: {stands}, so a useful gain ({useful}) is possible."
        yield from _more(standing, attention, none)


def _more(standing: Standing, first: Pick, second: Pick) -> Iterator[str]:
    """A sentence on the number of further trainings that would show a useful difference."""
    margin = standing.margin(first, second)
    if margin is None or margin.shown:
        return
    more = standing.trainings_to_show(first, second, standing.useful)
    if more:
        yield (
            f"{_about(more)} more trainings, spread over seeds, would show a true difference of "
            f"{standing.useful:g} points (with a probability of 80 %)."
        )


def _rests(standing: Standing) -> Iterator[str]:
    """The assumption behind every interval, if the study is too small to check it."""
    if not standing.modelled:
        return
    if standing.seeds < 2:
        yield (
            "Hardly any two seeds were used by several networks, so how far another seed would move a type is taken "
            "from the model's prior, and the intervals rest on that."
        )
    elif standing.trainings < FEW:
        yield f"With only {standing.trainings} complete trainings the intervals rest on the model's prior."


def _about(number: int) -> str:
    """Round to two leading digits, since the count is a guess."""
    digits = max(0, len(str(number)) - 2)
    return f"More than {MOST_MORE:,}" if number > MOST_MORE else f"About {round(number, -digits):,}"


def _far_off(records: list[Record]) -> Iterator[str]:
    """A sentence on trainings that collapsed, since they alone widen every interval."""
    ended = [(record.score, record) for record in once_per_seed(records) if record.score is not None]
    scores = np.array([score for score, _ in ended])
    below = np.median(scores) - scores if len(scores) >= LEAST_SPREAD else np.zeros(1)
    spread = np.median(np.abs(below))
    if not spread:  # too few, or most are equal to the digit, as with few images
        return
    gone = below > max(OUTLYING * 1.4826 * spread, LOST * abs(np.median(scores)))
    far = sorted((one for one, off in zip(ended, gone, strict=True) if off), key=lambda one: one[0])
    if far:
        worst = ", ".join(record.unit.text(score) for score, record in far[:3]) + (", ..." if len(far) > 3 else "")
        yield (
            f"**Of {len(ended)} trainings {len(far)} ended far below the rest** ({worst}): that counts, and widens "
            "every interval here. A type that collapses is better left out of the space."
        )


def _images(stored: StudyAttributes, best: Pick) -> Iterator[str]:
    """A sentence on the worth of one validation image."""
    images = stored.validation_images
    if images and not stored.scored_in.of_images:  # neither is one image worth as much as another, nor do they add up
        yield f"Scores are read from {images:,} validation images."
    elif images:
        share = min(max(best.value("pooled") / 100, 0.0), 1.0)
        error = 100 * (share * (1 - share) / images) ** 0.5
        yield (
            f"Accuracies are read from {images:,} validation images: one image is worth {100 / images:.2g} points, and "
            f"other images alone would move an accuracy by {error:.2g} (standard deviation)."
        )


def _rungs(records: list[Record]) -> Iterator[str]:
    """A warning where the baselines, which are never stopped, change their order between a rung and the end."""
    whole = [record for record in once_per_seed(records) if record.label and record.score is not None]
    length = max((len(record.rungs) for record in whole), default=0)
    whole = [record for record in whole if len(record.rungs) == length]
    names = list(dict.fromkeys(record.label for record in whole))
    if len(names) < LEAST_BASELINES:
        return

    def mean(name: str, rung: int) -> float:
        return fmean(record.rungs[rung].score for record in whole if record.label == name)

    ends = [mean(name, length - 1) for name in names]
    for rung in range(length - 1):
        tau = stats.kendalltau([mean(name, rung) for name in names], ends).statistic
        if tau < DISAGREE:
            yield (
                f"**After epoch {whole[0].rungs[rung].epoch} the baselines stand in another order than at the end** "
                f"(Kendall's tau {tau:.2f} over {len(names)}): what is stopped there may only start slowly. A later "
                "first rung, or `pruner: none`, shows it."
            )


def _views(standing: Standing) -> Iterator[str]:
    """A sentence on the readings that the model used besides accuracy."""
    if standing.views:
        used = _listed(
            [f"{name} ({words.share(worth)} of what the accuracy tells)" for name, worth in standing.views.items()]
        )
        yield f"To rank, the model also reads {used}; the verdict is on accuracy."


def _others(standing: Standing, best: Pick) -> bool:
    return any(pick.hash != best.hash for pick in standing.picks)


def _costs(pick: Pick) -> Iterator[str]:
    if pick.label == NONE:
        return
    costs = [
        f"{words.multiple(pick.relative.get(key))} the {noun}"
        for key, noun in (("parameters", "parameters"), ("macs", "MACs"), ("latency", "latency"))
        if key in pick.relative
    ]
    if costs:
        yield f"It costs {_listed(costs)} of the backbone without attention."


def _noise(standing: Standing) -> Iterator[str]:
    noise = standing.noise()
    if noise is not None:
        yield f"One training run scatters by {words.accuracy(noise)} points around its architecture."


def _objectives(stored: StudyAttributes, board: pd.DataFrame) -> Iterator[str]:
    """With several objectives, a sentence on the number of networks on the front."""
    objectives = stored.objectives
    costs = [name for name in objectives if name in COSTS and board[name].notna().any()]
    if len(objectives) > 1 and costs:
        kept = len(front(board, costs[0]))
        yield (
            f"The search weighed {_listed(list(objectives))}: {words.plural(kept, 'architecture')} of {len(board)} "
            f"{'is' if kept == 1 else 'are'} on the front of accuracy and {costs[0]}; named here is the most accurate."
        )


def _against(margin: Margin | None, best: Pick, rival: Pick, name: str) -> str:
    if margin is None:
        return f"That is {words.signed(best.mean - rival.mean)} points against {name}, too few trials for an interval."
    said = (
        f"{words.signed(margin.mean)} points (95 % interval {words.interval(margin.low, margin.high)}) against {name}"
    )
    if margin.shown:
        return f"It stands at **{said}**."
    return f"It stands at **{said}**: the interval includes zero, so no difference is shown."


def _criteria(standing: Standing, best: Pick) -> Iterator[str]:
    """Whether pooled mean, mean over seeds and best single trial choose the same."""
    others = {by: standing.best(by) for by in ("mean", "single")}
    if all(pick.hash == best.hash for pick in others.values()):
        yield "Pooled mean, mean over seeds and best single trial agree on it."
        return
    said = []
    for by, noun in (("mean", "mean over seeds"), ("single", "best single trial")):
        other = others[by]
        value = words.accuracy(other.value(by))
        same = other.hash == best.hash
        said.append(f"by {noun} {'it is first too' if same else f'{name_of(other)} is first ({value} %)'}")
    yield f"The three ways to choose differ: {_listed(said)}; those two reward luck."


def _unconfirmed(name: str) -> Iterator[str]:
    yield (
        f"All of this is **unconfirmed**: it rests on the short trainings of the search. "
        f"`chattn-nas confirm {name}` retrains the best and the baselines at full length."
    )


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
