from itertools import combinations

import pytest

from chattn_nas.benchmark.design import orthogonal_array, orthogonal_triples


@pytest.mark.parametrize("order", [3, 4, 5, 6, 7, 8, 9])
def test_every_pair_of_levels_stands_once_in_every_pair_of_stages(order) -> None:
    levels = [f"type{i}" for i in range(order)]
    rows = orthogonal_triples(levels, seed=1)
    assert len(rows) == order**2
    for first, second in combinations(range(3), 2):
        assert len({(row[first], row[second]) for row in rows}) == order**2
    assert {(level,) * 3 for level in levels} <= set(rows)


def test_the_same_seed_gives_the_same_design() -> None:
    assert orthogonal_triples("abcdefgh", seed=3) == orthogonal_triples("abcdefgh", seed=3)


def test_two_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least three"):
        orthogonal_triples(["none", "se"])


@pytest.mark.parametrize(("order", "stages"), [(2, 2), (3, 3), (5, 4), (7, 7)])
def test_an_array_of_several_stages_has_every_pair_once_and_all_uniform_networks(order, stages) -> None:
    levels = [f"type{i}" for i in range(order)]
    rows = orthogonal_array(levels, stages)
    assert len(rows) == order**2
    for first, second in combinations(range(stages), 2):
        assert len({(row[first], row[second]) for row in rows}) == order**2
    assert {(level,) * stages for level in levels} <= set(rows)


@pytest.mark.parametrize(
    ("levels", "stages", "words"),
    [
        ("abcd", 3, "a prime number"),
        ("a", 1, "a prime number"),
        ("aba", 3, "different levels"),
        ("abc", 4, "at most 3"),
    ],
)
def test_an_array_that_does_not_exist_is_refused(levels, stages, words) -> None:
    with pytest.raises(ValueError, match=words):
        orthogonal_array(levels, stages)
