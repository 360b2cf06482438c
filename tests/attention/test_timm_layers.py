"""timm's own attentions under ``timm/<name>``: those that work do, those that do not are refused in words."""

import pytest
import torch
from timm.layers import create_attn

from chattn_nas import attention
from chattn_nas.errors import InputError
from chattn_nas.testing import attention as conformance
from chattn_nas.testing.cases import cases

TIMM = [name for name in attention.names() if name.startswith("timm/")]
#: Every name that the docstring of timm's create_attn module and its table list.
LISTED = {
    "se", "ese", "eca", "ecam", "ceca", "ge", "gc", "gca", "cbam", "lcbam", "coord", "scoord", "ela", "strip",
    "sk", "splat", "lambda", "bottleneck", "halo", "nl", "bat",
}  # fmt: skip


def test_every_name_of_timm_is_either_there_or_refused():
    assert {f"timm/{name}" for name in LISTED} - set(TIMM) == {"timm/ge"}
    with pytest.raises(InputError, match="ConvMlp gets act_layer twice"):
        attention.get("timm/ge")


@pytest.mark.parametrize(
    "check",
    [conformance.costs_as_declared, conformance.leaves_input_alone, conformance.starts_as_identity,
     conformance.one_sample_or_refusal, conformance.one_seed_one_module],
    ids=lambda check: check.__name__,
)  # fmt: skip
@pytest.mark.parametrize("name", TIMM)
def test_conformance_of_timm(name, check):
    conformance.Conformance(check, cases(name)[0])()


def test_it_is_timms_own_module():
    torch.manual_seed(0)
    ours = attention.build("timm/cbam", 32, rd_ratio=0.25)
    torch.manual_seed(0)
    theirs = create_attn("cbam", 32, rd_ratio=0.25)
    assert type(ours) is type(theirs)
    x = torch.randn(2, 32, 5, 5)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [("timm/bat", 64, (5, 7)), ("timm/halo", 64, (7, 7)), ("timm/lambda", 6, (4, 4)), ("timm/bottleneck", 6, (4, 4))],
)
def test_impossible_sites_are_refused_when_built(name, channels, size):
    with pytest.raises(InputError, match=f"{name} cannot sit on {channels} channels of {size[0]}x{size[1]}: timm"):
        attention.build(name, channels, feature_size=size)
