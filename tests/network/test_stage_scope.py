import copy
import pickle
import threading

import pytest
import torch
from timm.models import checkpoint_seq
from timm.utils import ModelEmaV3

from chattn_nas import Architecture, build_network
from chattn_nas.attention.dia import DIA
from chattn_nas.network.layout import layout
from chattn_nas.network.stage_scope import RIDES, StageSlot


def dia(model="cifar_resnet20", size=16, seed=0, **settings):
    return build_network(Architecture.uniform(model, "dia", **settings), image_size=size, seed=seed)


def cells(network):
    return [module for module in network.modules() if isinstance(module, DIA)]


@pytest.fixture
def images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_one_cell_per_stage_and_one_copy_in_the_state_dict():
    network = dia()
    assert len(cells(network)) == 3
    names = [name for name in network.state_dict() if "of_input.0.weight" in name]
    assert names == [f"layer{stage}.0.se.cell.of_input.0.weight" for stage in (1, 2, 3)]
    slots = [module for module in network.modules() if isinstance(module, StageSlot)]
    assert len(slots) == 9
    assert len({id(slot.first) for slot in slots}) == 3


def test_the_state_goes_from_block_to_block_as_the_formula_says(images):
    """Against the stage written out: the cell by hand, block by block."""
    network = dia().eval()
    stage, x = network.layer2, network.layer1(network.act1(network.bn1(network.conv1(images))))
    wanted, state = x.detach(), None
    for block in stage:
        branch = block.bn2(block.conv2(block.drop_block(block.act1(block.bn1(block.conv1(wanted))))))
        gated, state = cells(stage)[0](branch, state)
        shortcut = wanted if block.downsample is None else block.downsample(wanted)
        wanted = block.act2(gated + shortcut)
    torch.testing.assert_close(stage(x), wanted)


def test_forwards_do_not_see_each_other(images):
    network = dia().eval()
    first = network(images)
    network(torch.randn(2, 3, 16, 16))
    assert torch.equal(network(images), first)
    network.train()
    for batch in (4, 3):
        network(images[:batch]).sum().backward()


def test_copies_hold_cells_of_their_own(images):
    network = dia().eval()
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), ModelEmaV3(network).module.eval()):
        assert torch.equal(twin(images), network(images))
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in network.parameters()}
        with torch.no_grad():
            for cell in cells(twin):
                cell.of_input[2].bias.fill_(3.0)
        assert not torch.equal(twin(images), network(images)), "every slot of the copy must use the copy's cell"


def test_a_state_dict_goes_into_another_network(images):
    one, other = dia(seed=0).eval(), dia(seed=1).eval()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(images), other(images))


def test_gradient_checkpointing_gives_the_same_gradients(images):
    plain, kept = dia("resnet26d"), dia("resnet26d")
    kept.set_grad_checkpointing(True)
    for network in (plain, kept):
        network(torch.nn.functional.interpolate(images, 64)).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), kept.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)
    stage = dia().layer1
    x = torch.randn(2, 16, 8, 8, requires_grad=True)
    torch.testing.assert_close(checkpoint_seq(stage, x, every=1), stage(x))


def test_threads_share_a_network(images):
    network = dia().eval()
    batches = [torch.randn(1 + index % 3, 3, 16, 16) for index in range(6)]
    with torch.no_grad():
        wanted = [network(batch) for batch in batches]
    found = [None] * len(batches)

    def forward(index):
        with torch.no_grad():
            for _ in range(5):
                found[index] = network(batches[index])

    threads = [threading.Thread(target=forward, args=(index,)) for index in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_torch_export_with_a_free_batch(images):
    network = dia().eval()
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    more = torch.randn(7, 3, 16, 16)
    torch.testing.assert_close(program(more), network(more))


def test_some_blocks_only_and_other_places(images):
    for settings in ({"blocks": "last"}, {"blocks": "alternate"}, {"placement": "after_add"}):
        network = dia(**settings).train()
        network(images).sum().backward()
        assert all(p.grad is not None for cell in cells(network) for p in cell.parameters())
    network = build_network(Architecture.uniform("cifar_resnet20", "dia"), image_size=16, seed=0, identity_init=True)
    bare = build_network(Architecture.uniform("cifar_resnet20", "none"), image_size=16, seed=0)
    assert torch.equal(network.eval()(images), bare.eval()(images))


def test_blocks_of_another_width_have_another_cell():
    network = dia("mobilenetv3_small_100", size=64)
    slots = [module for module in network.modules() if isinstance(module, StageSlot)]
    widths = [slot.first.cell.of_input[0].in_features for slot in slots]
    assert len(set(widths)) > 4, "blocks of one stage differ"
    for before, slot, width, last in zip(slots, slots[1:], widths[1:], widths, strict=False):
        assert slot.first is slot or (slot.first is before.first and width == last)
    assert len(cells(network)) < len(slots), "neighbours of one width share"
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    architecture = network.architecture
    stages = layout(architecture.backbone, 3, 64).stages
    counted = [choice.cost(stage)[0] for choice, stage in zip(architecture.choices(len(stages)), stages, strict=True)]
    assert sum(counted) == sum(p.numel() for cell in cells(network) for p in cell.parameters())


def test_a_block_alone_has_no_state():
    network = dia().eval()
    x = torch.randn(2, 16, 8, 8)
    with pytest.raises(RuntimeError, match="did not arrive"):
        network.layer1[1](x)
    assert not hasattr(x, RIDES)
