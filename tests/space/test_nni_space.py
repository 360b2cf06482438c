import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattn_nas.errors import InputError
from chattn_nas.search.nni.space import nni_layers, nni_sample, nni_space, read_nni
from chattn_nas.space import Backbone, SearchSpace, SpaceSettings

TYPES = {
    "none": {},
    "se": {"reduction": [2, 4, 8, 16], "bias": [False, True], "blocks": ["all", "last"]},
    "eca": {"gamma": [1, 2], "b": [1, 2]},
    "fca": {"frequencies": ["top1", "top2", "low2"], "reduction": [4, 8]},
    "gct": {"mode": ["l1", "l2"], "placement": ["before_add", "after_add"]},
    "random_gate": {},
}


@st.composite
def entries(draw):
    """A list of a spec: some types, each with some values of some of its settings."""
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4, unique=True))
    found = []
    for name in names:
        keys = draw(st.lists(st.sampled_from(sorted(TYPES[name])), unique=True)) if TYPES[name] else []
        values = {key: draw(st.lists(st.sampled_from(TYPES[name][key]), min_size=1, unique=True)) for key in keys}
        found.append({name: values} if values else name)
    return found


def draw_as_nni(rng: random.Random, written):
    """A uniform sample of a space in NNI's words, by NNI's documented rules."""

    def one(spec):
        index = rng.randrange(len(spec["_value"]))
        value = spec["_value"][index]
        if spec["_type"] == "layer_choice":
            return {"_value": value, "_idx": index}
        if isinstance(value, dict):
            return {key: inner if key == "_name" else one(inner) for key, inner in value.items()}
        return value

    return {key: one(spec) for key, spec in written.items()}


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=entries(), other=entries(), seed=st.integers(0, 2**16))
def test_samples_read_back_and_every_architecture_is_a_sample(stages, first, other, seed) -> None:
    space = SearchSpace(SpaceSettings({"all": first, 2: other}), Backbone("cifar_resnet8"), stages)
    rng = random.Random(seed)
    nested, layers = (json.loads(json.dumps(write(space))) for write in (nni_space, nni_layers))
    for _ in range(5):
        sample = draw_as_nni(rng, nested)
        read = read_nni(space, sample)
        assert nni_sample(space, read) == sample
        assert read.canonical(stages) in set(space.enumerate())
        layered = draw_as_nni(rng, layers)
        assert [str(choice) for choice in read_nni(space, layered).stages] == [v["_value"] for v in layered.values()]
    for architecture in space.enumerate():
        assert read_nni(space, nni_sample(space, architecture)).canonical(stages) == architecture


def test_the_nested_space_in_full(stages) -> None:
    space = SearchSpace(SpaceSettings({"all": ["none", {"se": {"reduction": [2, 4]}}]}), Backbone("m"), stages)
    types = [{"_name": "none"}, {"_name": "se", "reduction": {"_type": "choice", "_value": [2, 4]}}]
    assert nni_space(space) == {f"stage{n}": {"_type": "choice", "_value": types} for n in (1, 2)}


@pytest.mark.parametrize(
    "sample",
    [
        {},
        {"stage1": {"_name": "none"}},
        {"stage1": {"_name": "none"}, "stage2": {"_name": "se"}},
        {"stage1": {"_idx": 7}, "stage2": {"_idx": 0}},
    ],
)
def test_a_sample_of_another_space_is_refused(stages, sample) -> None:
    space = SearchSpace(SpaceSettings({"all": ["none", {"eca": {"gamma": [1, 2]}}]}), Backbone("m"), stages)
    with pytest.raises(InputError, match="of another space"):
        read_nni(space, sample)
