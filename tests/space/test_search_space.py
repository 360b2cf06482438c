import random

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattn_nas.errors import InputError
from chattn_nas.space import Backbone, SearchSpace, SpaceSettings, StageChoice

BACKBONE = Backbone("cifar_resnet8")
ENTRIES = st.lists(
    st.sampled_from(
        [
            "none",
            {"se": {"reduction": [2, 4, 8, 16], "bias": [False, True]}},
            {"eca": {"gamma": [1, 2], "b": [1, 2]}},
            {"fca": {"frequencies": ["top1", "top2", "low2"], "reduction": [4, 8]}},
            {"gct": {"mode": ["l1", "l2"], "placement": ["before_add", "after_add"]}},
            {"random_gate": {"blocks": ["all", "last"]}},
        ]
    ),
    min_size=1,
    max_size=5,
    unique_by=str,
)


def space(stages, **lists) -> SearchSpace:
    keys = {name: int(name[1:]) if name.startswith("s") else name for name in lists}
    return SearchSpace(SpaceSettings({keys[name]: value for name, value in lists.items()}), BACKBONE, stages)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=ENTRIES, other=ENTRIES, seed=st.integers(0, 2**16))
def test_counts_enumeration_and_samples_agree(stages, first, other, seed) -> None:
    found = space(stages, all=first, s2=other)
    enumerated = list(found.enumerate())
    assert len(enumerated) == len({a.hash for a in enumerated}) == found.canonical_size <= found.size
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        trial = study.ask()
        architecture = found.sample(trial)
        assert architecture.canonical(stages) in enumerated
        assert found.params(architecture) == trial.params
        assert set(trial.params) <= set(found.parameters())
    assert found.random(random.Random(seed)) in enumerated


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ENTRIES)
def test_every_enumerated_architecture_can_be_enqueued(stages, entries) -> None:
    found = space(stages, all=entries)
    for architecture in found.enumerate():
        trial = optuna.trial.FixedTrial(found.params(architecture))
        assert found.sample(trial).canonical(stages) == architecture


def test_names_are_conditional_on_the_type(stages) -> None:
    found = space(stages, all=["none", {"se": {"reduction": [2, 4]}}])
    trial = optuna.trial.FixedTrial({"stage1.type": "none", "stage2.type": "se", "stage2.se.reduction": 4})
    found.sample(trial)
    assert set(trial.params) == {"stage1.type", "stage2.type", "stage2.se.reduction"}


def test_size_before_and_after_canonicalisation(stages) -> None:
    found = space(stages, all=["none", {"fca": {"frequencies": ["top1", "top2", "low2"]}}])
    assert found.size == 4**2
    assert found.canonical_size == 3**2


def test_baselines_are_none_each_type_uniformly_and_the_control(stages) -> None:
    found = space(stages, all=["none", {"se": {"reduction": [2, 4]}}], s2=["eca"])
    baselines = dict(found.baselines())
    assert list(baselines) == ["none", "uniform se", "uniform eca", "random_gate", "channel_scale"]
    assert baselines["none"].stages == (StageChoice(), StageChoice())
    assert baselines["uniform se"].stages == (StageChoice("se", {"reduction": 2}), StageChoice())
    assert found.params(baselines["uniform se"]) is None, "stage 2 does not allow none"
    assert baselines["random_gate"] not in found


def test_search_takes_the_registered_domain(stages) -> None:
    found = space(stages, all=[{"se": "search"}])
    assert set(found.parameters()["stage1.se.reduction"]) == {16, 2, 4, 8, 32}


@pytest.mark.parametrize(
    ("lists", "message", "where"),
    [
        ({"all": [], "s1": ["se"]}, "empty", ("all",)),
        ({"s1": ["se"]}, "stage 2 has no list", ()),
        ({"all": ["se"], "s3": ["se"]}, "no stage 3; possible: all, 1, 2", (3,)),
        ({"all": ["see"]}, "did you mean 'se'", ("all", 0)),
        ({"all": ["none", {"se": {"reduction": []}}]}, "empty list of values", ("all", 1, "se", "reduction")),
        ({"all": [{"se": {"reduktion": 4}}]}, "did you mean 'reduction'", ("all", 0, "se", "reduktion")),
        ({"all": [{"se": {"reduction": [4, 4]}}]}, "twice", ("all", 0, "se", "reduction")),
        ({"all": [{"se": {"reduction": "four"}}]}, "int >= 1, not 'four'", ("all", 0, "se", "reduction")),
        ({"all": [{"se": {"placement": "before"}}]}, "did you mean 'before_", ("all", 0, "se", "placement")),
        (
            {"all": [{"se": 4}]},
            "takes settings, such as .* or the word 'search', not 4",
            ("all", 0, "se"),
        ),
        ({"all": [["se"]]}, "not \\['se'\\]", ("all", 0)),
        ({"all": ["se", {"se": {"reduction": 4}}]}, "se is listed twice", ("all", 1)),
        ({"all": [{"fca": {"frequencies": ["top1", "top32"]}}]}, "stage 1: fca.*32", ("all", 0, "fca")),
        ({"all": [{"se": {"placement": "before_convs"}}]}, "no place 'before_convs'", ("all", 0, "se")),
    ],
)
def test_bad_lists_are_refused_with_their_place(stages, lists, message, where) -> None:
    with pytest.raises(InputError, match=message) as caught:
        space(stages, **lists)
    assert caught.value.where == where


def test_schema_names_every_type_and_its_settings() -> None:
    schema = SpaceSettings.model_json_schema()
    (entries,) = (pattern["items"]["anyOf"] for pattern in schema["patternProperties"].values())
    se = next(entry["properties"]["se"] for entry in entries if "se" in entry.get("properties", {}))
    assert se["anyOf"][0]["properties"]["reduction"]["default"] == 16
