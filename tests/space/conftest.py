"""A backbone of two stages, told by hand: what the network room would measure on a model."""

import pytest

from chattn_nas.space import SlotShape, Stage


def _stage(name: str, channels: int, size: int, blocks: int) -> Stage:
    slots = tuple(SlotShape(block, channels, (size, size)) for block in range(blocks))
    return Stage(name, "native", blocks, {"before_add": slots, "after_add": slots, "before_block": slots})


@pytest.fixture
def stages() -> tuple[Stage, ...]:
    return (_stage("layer1", 16, 16, 2), _stage("layer2", 32, 8, 1))
