"""The share of a backbone's blocks that have a slot of their own, as it is told."""

import pytest

from chattn_nas.network.layout import layout
from chattn_nas.space import Backbone


@pytest.mark.parametrize(("model", "blocks"), [("fastvit_t8", 20), ("lcnetv2_small", 11)])
def test_slots_in_the_stem_count_among_the_blocks(model, blocks):
    assert layout(Backbone(model), 3, 64).share == f"{blocks} of {blocks} blocks have a slot of their own"
