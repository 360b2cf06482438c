"""Uniform networks are told from mixed ones by what the study keeps, and nothing else is imported for it."""

from results_study import architecture_of, new_study

from chattn_nas.results.uniform import Uniformity
from chattn_nas.space import SlotShape, Stage, StageChoice


def made_study(channels=(16, 64, 256)):
    """ECA's kernel follows from the channels: one choice has another canonical form in each stage."""
    stages = [
        Stage(f"layer{i}", "native", 1, {"before_add": (SlotShape(0, c, (8, 8)),)}) for i, c in enumerate(channels, 1)
    ]
    study = new_study()
    spec = study.user_attrs["spec"]
    study.set_user_attr(
        "spec",
        {
            **spec, "format": 1, "imports": ["evil"], "backbone": {"model": "evil:network", "options": {}},
            "space": {"all": ["none", {"eca": {"gamma": [1, 2], "b": [1, 2]}}], "3": ["none", {"eca": {"b": [1, 2]}}]},
        },
    )  # fmt: skip
    study.set_user_attr("stages", [stage.to_dict() for stage in stages])
    return study, stages


def network(stages, choices):
    return tuple(choice.canonical(stage).to_dict() for choice, stage in zip(choices, stages, strict=True))


def test_one_choice_with_another_form_in_every_stage_is_uniform_and_two_are_not():
    study, stages = made_study()
    uniform = Uniformity(study, [])
    eca = [StageChoice.from_dict({"type": "eca", "gamma": gamma, "b": b}) for gamma in (1, 2) for b in (1, 2)]
    assert uniform(network(stages, [eca[2]] * 3))
    assert len({stage["kernel_size"] for stage in network(stages, [eca[2]] * 3)}) > 1, "the forms differ"
    assert not uniform(network(stages, [eca[0], eca[2], eca[2]]))
    assert not uniform(network(stages, [eca[2], StageChoice(), eca[2]]))


def test_a_study_that_keeps_less_or_names_a_type_of_its_own_is_read_all_the_same():
    study, stages = made_study()
    eca = [StageChoice.from_dict({"type": "eca", "b": 2})] * 3
    own = tuple({"type": "evil:Gate", "width": width} for width in (1, 2, 3))
    assert not Uniformity(study, [])(own)
    study.set_user_attr("stages", [{"name": "layer1", "kind": "native", "blocks": 1}] * 3)
    assert not Uniformity(study, [])(network(stages, eca))
    assert Uniformity(study, [])(tuple(stage.to_dict() for stage in architecture_of((1, 1, 1)).stages))
