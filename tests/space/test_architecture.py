import json

import pytest

from chattn_nas.errors import InputError
from chattn_nas.space import Architecture, Backbone, StageChoice


def test_round_trip_through_json_and_yaml() -> None:
    backbone = Backbone("resnet18", {"drop_rate": 0.1, "layers": [1, 1]}, existing="keep")
    architecture = Architecture(
        backbone, (StageChoice("se", {"reduction": 4}), StageChoice("gct", placement="before_add", blocks="last"))
    )
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture
    assert Architecture.from_yaml(architecture.to_yaml()) == architecture
    assert hash(Architecture.from_yaml(architecture.to_yaml())) == hash(architecture)


def test_uniform_takes_a_name_or_a_mapping_and_broadcasts() -> None:
    by_name = Architecture.uniform("resnet18", "se", reduction=4)
    by_mapping = Architecture.uniform({"model": "resnet18", "options": {}}, "se", reduction=4)
    assert by_name == by_mapping
    assert by_name.choices(3) == (StageChoice("se", {"reduction": 4}),) * 3
    with pytest.raises(InputError, match="2 stages, resnet18 has 3"):
        Architecture(Backbone("resnet18"), (StageChoice(),) * 2).choices(3)


def test_defaults_are_stored_so_that_equal_choices_are_equal() -> None:
    assert StageChoice("se") == StageChoice("se", {"reduction": 16, "bias": False})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # C // reduction is the same hidden width in 16 and in 32 channels
        (StageChoice("se", {"reduction": 32}), StageChoice("se", {"reduction": 40})),
        (StageChoice("eca", {"gamma": 2, "b": 1}), StageChoice("eca", {"kernel_size": 3})),
        (StageChoice("fca", {"frequencies": "top2"}), StageChoice("fca", {"frequencies": "low2"})),
        (StageChoice("none"), StageChoice("none", blocks="last", placement="after_add")),
    ],
)
def test_canonical_merges_what_builds_the_same_modules(one, other, stages) -> None:
    backbone = Backbone("resnet18")
    first, second = (Architecture(backbone, (choice,)).canonical(stages) for choice in (one, other))
    assert first == second
    assert first.hash == second.hash
    assert first.canonical(stages) == first, "canonical is idempotent"


def test_canonical_keeps_apart_what_differs(stages) -> None:
    backbone = Backbone("resnet18")
    different = [
        StageChoice("se", {"reduction": 2}),
        StageChoice("se", {"reduction": 4}),
        StageChoice("se", {"reduction": 4}, placement="after_add"),
        StageChoice("se", {"reduction": 4}, blocks="last"),
        StageChoice("fca", {"frequencies": "top1", "reduction": 4}),
        StageChoice("fca", {"frequencies": "top2", "reduction": 4}),
    ]
    hashes = {Architecture(backbone, (choice,)).canonical(stages).hash for choice in different}
    assert len(hashes) == len(different)


def test_blocks_that_select_the_same_slots_are_the_same(stages) -> None:
    choice = StageChoice("se", blocks="last")
    assert choice.canonical(stages[1]) == StageChoice("se", blocks="all").canonical(stages[1])


def test_canonical_says_which_stage_cannot_take_its_choice(stages) -> None:
    architecture = Architecture(Backbone("resnet18"), (StageChoice("fca", {"frequencies": "top32"}),))
    with pytest.raises(InputError, match="32") as caught:
        architecture.canonical(stages)
    assert caught.value.where[:2] == (1, "fca")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sé",), "unknown attention type 'sé'"),
        (("se", {"redction": 4}), "did you mean 'reduction'"),
        (("se", {"reduction": 0}), "reduction must be int >= 1, not 0"),
        (("se", {}, "before_breakfast"), "did you mean 'before_block'"),
    ],
)
def test_bad_choices_are_refused_in_a_sentence(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        StageChoice(*arguments)


def test_cost_of_a_choice_sums_over_its_slots(stages) -> None:
    choice = StageChoice("se", {"reduction": 4})
    assert choice.cost(stages[0])[0] == 2 * (2 * 16 * 4)
    assert StageChoice("se", {"reduction": 4}, blocks="last").cost(stages[0])[0] == 2 * 16 * 4
    assert StageChoice().cost(stages[0]) == (0, 0)


@pytest.mark.parametrize("data", [{}, {"backbone": "cifar_resnet8"}, 3, "cifar_resnet8"])
def test_what_is_no_architecture_is_refused_in_one_sentence(data):
    with pytest.raises(InputError, match="an architecture is a mapping with backbone and stages, not"):
        Architecture.from_dict(data)
