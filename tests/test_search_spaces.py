import json
import subprocess
import sys
from pathlib import Path

import pytest

from chattn_nas import attention
from chattn_nas.attention import overview
from chattn_nas.results import trials
from chattn_nas.search.feasible import FeasibleShare, feasible_share
from chattn_nas.spec import Spec, load_spec
from chattn_nas.spec.schema import fresh_schema

FOLDER = Path(__file__).parents[1] / "search_spaces"
SPECS = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_shipped_spec_is_valid_and_says_how_large_it_is(path, capsys):
    spec = load_spec(path)
    space = spec.search_space()
    with capsys.disabled():
        print(f"\n  {path.stem}: {space.size:,} combinations, {space.canonical_size:,} different networks")
    assert spec.name == path.stem
    assert 1 < space.canonical_size <= space.size
    assert path.read_text().startswith("# yaml-language-server: $schema=../chattn_nas/spec/schema.json\n")


@pytest.mark.parametrize("name", ["quickstart", "all_attention_cifar"])
def test_one_tiny_trial_of_every_spec_whose_data_are_at_hand(name, tmp_path):
    """On small data, without the search's own length."""
    from chattn_nas.search import search

    spec = load_spec(FOLDER / f"{name}.yaml")
    small = spec.model_copy(
        update={
            "data": spec.data.model_copy(update={"train_limit": 256}),
            "proxy": spec.proxy.model_copy(update={"rungs": [1], "device": "cpu"}),
        }
    )
    run = search(small, run=tmp_path / name, trials=1, workers=0, progress=False)
    assert trials(run.study)["outcome"].tolist().count("complete") == 1


def test_the_published_kernels_of_eca_are_a_point_of_their_space():
    space = load_spec(FOLDER / "eca_resnet50_published.yaml").search_space()
    kernels = [[choice.values["kernel_size"] for choice in architecture.stages] for architecture in space.enumerate()]
    assert [3, 5, 5, 7] in kernels


def test_the_schema_that_the_command_prints_is_up_to_date():
    """After a change: python -m chattn_nas.spec.schema > chattn_nas/spec/schema.json"""
    done = subprocess.run([sys.executable, "-m", "chattn_nas", "schema"], capture_output=True, text=True, check=True)
    assert done.stdout == fresh_schema()
    schema = json.loads(done.stdout)
    assert {"name", "backbone", "data", "space", "proxy", "search"} <= set(schema["properties"])


def test_how_much_is_feasible_is_counted_where_it_can_be():
    spec = load_spec(FOLDER / "quickstart.yaml")
    space = spec.search_space()
    found = feasible_share(spec)
    assert found.exact
    assert found.networks == space.canonical_size
    bare = 77_786
    limit = 0.05 * bare
    by_hand = sum(
        sum(choice.cost(stage)[0] for choice, stage in zip(network.stages, space.stages, strict=True)) <= limit
        for network in space.enumerate()
    )
    assert found.feasible == by_hand
    free = feasible_share(Spec.model_validate(spec.to_dict() | {"search": {"constraints": {}}}))
    assert free.share == 1


def test_a_sampled_share_comes_with_its_interval():
    share = FeasibleShare(feasible=150, networks=1000, exact=False, latency_unknown=False)
    low, high = share.interval
    assert low == pytest.approx(0.1284, abs=1e-3)
    assert high == pytest.approx(0.1737, abs=1e-3)
    assert "12.8 to 17.4 %" in str(share)


def test_everything_races_every_type_of_this_package():
    space = load_spec(FOLDER / "everything.yaml").search_space()
    raced = {choice.type for choices in space.canonical for choice in choices}
    assert raced == {name for name in attention.names() if overview.is_ours(attention.get(name))}
