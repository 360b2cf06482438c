"""Settings without effect beside others are refused, and no others."""

import pytest

from chattn_nas import attention
from chattn_nas.errors import InputError
from chattn_nas.space.idle import refuse_idle, same_but_idle
from chattn_nas.space.settings import SpaceSettings


def refuse(entry) -> None:
    refuse_idle(SpaceSettings({"all": ["se", entry]}))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"eca": {"kernel_size": [3, 5], "b": [1, 2]}}, "eca: b has no effect with kernel_size: 3 or 5; leave it out"),
        ({"bam": {"branches": "channel", "dilation": 2}}, "bam: dilation has no effect with branches: channel"),
        ({"bam": {"branches": "spatial", "combine": "sum"}}, "bam: combine has no effect with branches: spatial"),
        ({"gather_excite": {"reduction": [8, 16]}}, "gather_excite: reduction has no effect with mlp: false"),
        ({"gather_excite": {"form": "timm"}}, "gather_excite: form has no effect with gather: average"),
        ({"gct": {"after_relu": True}}, "gct: after_relu has no effect with mode: l2"),
        ({"mca": {"channel": False, "channel_kernel": 3}}, "mca: channel_kernel has no effect with channel: false"),
        ({"scse": {"parts": "spatial", "reduction": 4}}, "scse: reduction has no effect with parts: spatial"),
        ({"none": {"blocks": "last"}}, "none: blocks has no effect where there is no attention"),
    ],
)
def test_what_another_setting_decides_is_refused(entry, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        refuse(entry)
    assert caught.value.where[:2] == ("all", 1)


@pytest.mark.parametrize("name", [name for name in attention.names() if attention.get(name).hyperparameters])
def test_what_some_value_makes_effective_is_allowed(name) -> None:
    refuse({name: dict.fromkeys(attention.get(name).hyperparameters, "search")})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"eca": {"kernel_size": 3, "gamma": [1, 2]}}, {"eca": {"kernel_size": 3}}, True),
        ({"eca": {"kernel_size": 3, "gamma": [1, 2]}}, {"eca": {"kernel_size": 5}}, False),
        ({"eca": {"kernel_size": None, "gamma": [1, 2]}}, {"eca": {"kernel_size": None}}, False),
        ({"none": {"blocks": "last"}}, "none", True),
        ({"se": {"blocks": "last"}}, "se", False),
        ("gct", "srm", False),
    ],
)
def test_spaces_are_the_same_if_only_settings_without_effect_differ(one, other, same) -> None:
    settings = [SpaceSettings({"all": ["se", entry]}) for entry in (one, other)]
    assert same_but_idle(*settings) is same
    assert same_but_idle(*reversed(settings)) is same
