import numpy as np
import pytest
from scipy import stats

from chattn_nas.errors import InputError
from chattn_nas.judging.comparison import Comparison, bootstrap, compare, detectable, holm

STUDIES = 2000


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """2,000 studies of 5 seeds: accuracies around 90 that share their seed's block; no true difference."""
    rng = np.random.default_rng(11)
    block = rng.normal(90, 0.5, (STUDIES, 5))
    return block + rng.normal(0, 0.6, (STUDIES, 5)), block + rng.normal(0, 0.6, (STUDIES, 5))


def test_t_interval_and_p_are_scipys(pairs):
    for first, second in zip(pairs[0][:50], pairs[1][:50]):
        found = compare(first, second)
        wanted = stats.ttest_rel(first, second)
        interval = wanted.confidence_interval(0.95)
        assert found.p == pytest.approx(wanted.pvalue, rel=1e-9)
        assert (found.t_low, found.t_high) == pytest.approx((interval.low, interval.high))
        plus = int((first > second).sum())
        assert found.sign_p == pytest.approx(stats.binomtest(plus, 5).pvalue)


@pytest.mark.parametrize("true", [0.0, 0.4])
def test_both_intervals_cover_the_true_difference(pairs, true):
    t = boot = 0
    for first, second in zip(*pairs):
        found = compare(first + true, second)
        t += found.t_low <= true <= found.t_high
        boot += found.bootstrap_low <= true <= found.bootstrap_high
    assert 0.93 <= t / STUDIES <= 0.97
    assert 0.93 <= boot / STUDIES <= 0.97


def test_without_a_true_difference_better_is_said_in_at_most_five_percent(pairs):
    said = [compare(first, second).judgement for first, second in zip(*pairs)]
    assert said.count("better") / STUDIES <= 0.05
    assert said.count("better") > 0


def test_of_many_candidates_without_a_difference_any_is_called_better_in_at_most_five_percent():
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(400):
        block = rng.normal(90, 0.5, 5)
        runs = block + rng.normal(0, 0.6, (7, 5))
        wrong += any(one.judgement == "better" for one in holm([compare(run, runs[0], family=6) for run in runs[1:]]))
    assert wrong / 400 <= 0.05


def test_detectable_difference_is_found_with_the_power_it_names():
    rng = np.random.default_rng(2)
    size = detectable(1.0, 5)
    found = [compare(size + rng.normal(0, 1, 5), np.zeros(5)).judgement == "better" for _ in range(600)]
    assert 0.75 < np.mean(found) < 0.85
    from_scipy = stats.nct.sf(stats.t.ppf(0.975, 9), 9, detectable(1.0, 10) * np.sqrt(10))
    assert from_scipy == pytest.approx(0.8, abs=1e-6)
    assert detectable(1.0, 5, alpha=0.01) > size


def test_holm_is_holms():
    ps = [0.01, 0.04, 0.03, 0.005]
    base = compare([1.0, 2.0, 3.0], [0.0, 0.5, 1.0])
    family = [Comparison.from_dict(base.to_dict() | {"p": p, "p_holm": p}) for p in ps]
    assert [one.p_holm for one in holm(family)] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.judgement for one in holm(family)] == ["better", *["no difference shown"] * 2, "better"]


def test_words():
    clear = compare([91.0, 91.2, 91.1, 91.3, 91.0], [90.0, 90.1, 90.2, 90.1, 90.0])
    assert clear.words == f"better by {clear.mean:.2f} points"
    assert compare([90.0, 90.1], [91.0, 91.2]).judgement in ("worse", "no difference shown")
    none = compare([90.0, 91.0, 92.0], [91.0, 90.0, 92.0])
    assert none.words == f"no difference shown: 3 seeds can show differences above {none.detectable:.2f} points"
    assert none.bootstrap_low is None, "three seeds have no studentised bootstrap"


def test_equal_networks_and_constant_differences():
    same = compare([90.0] * 5, [90.0] * 5)
    assert (same.mean, same.p, same.sign_p, same.judgement) == (0.0, 1.0, 1.0, "no difference shown")
    assert bootstrap(np.full(5, 0.3)) == pytest.approx((0.3, 0.3))
    assert compare([90.3, 91.3, 92.3, 93.3], [90.0, 91.0, 92.0, 93.0]).judgement == "better"


def test_too_few_or_unequal_seeds_are_refused():
    for first, second in (([1.0], [2.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(InputError, match="same two or more seeds"):
            compare(first, second)


def test_round_trip():
    found = compare([91.0, 91.2, 91.1, 91.3, 91.0], [90.0, 90.4, 90.2, 90.1, 90.0])
    assert Comparison.from_dict(found.to_dict()) == found
