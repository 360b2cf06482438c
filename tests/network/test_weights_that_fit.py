"""Weights from a file: wrappers and prefixes are recognised, and what does not fit is refused."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network import build_network
from chattn_nas.network._timm import to_fetch
from chattn_nas.network.pretrained import load_hub
from chattn_nas.plural import plural
from chattn_nas.space import Architecture, Backbone

MODEL = "cifar_resnet8"


@pytest.fixture(scope="module")
def saved():
    build_network(Architecture.uniform(MODEL, "none"), image_size=16)  # registers it with timm
    torch.manual_seed(5)
    return timm.create_model(MODEL, num_classes=7)


def load(path, kind="none", **options):
    given = {"num_classes": 7, "image_size": 16} | options
    return build_network(Architecture.uniform(Backbone(MODEL), kind), weights=path, **given)


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda state: state, ""),
        (lambda state: {"state_dict": prefixed(state, "model."), "epoch": 3}, "prefix 'model.' taken off"),
        (lambda state: {"state_dict": prefixed(state, "backbone.")}, "prefix 'backbone.' taken off"),
        (lambda state: {"model": prefixed(state, "module.")}, "from its 'model'"),
        (lambda state: prefixed(state, "net."), "prefix 'net.' taken off"),
        (lambda state: prefixed(state, "encoder.trunk."), "prefix 'encoder.trunk.' taken off"),
        (lambda state: {"checkpoint": {"weights": prefixed(state, "_orig_mod.module.")}}, "'checkpoint.weights'"),
        (lambda state: {"model_state_dict": state, "optimizer": {"state": {}}}, "from its 'model_state_dict'"),
    ],
    ids=["bare", "lightning", "backbone", "ddp", "net", "nested prefix", "nested wrapper", "torch tutorial"],
)
def test_wrappers_and_prefixes_are_recognised(tmp_path, saved, wrap, said):
    path = tmp_path / "weights.pth"
    torch.save(wrap(saved.state_dict()), path)
    network = load(path, "se")
    assert torch.equal(network.conv1.weight, saved.conv1.weight)
    assert torch.equal(network.layer3[0].conv2.weight, saved.layer3[0].conv2.weight)
    assert torch.equal(network.fc.weight, saved.fc.weight)
    assert network.loaded.matched == network.loaded.expected > 30
    assert said in str(network.loaded)
    assert str(network.loaded).startswith("weights.pth: ")


def test_averaged_weights_are_taken_where_a_file_holds_both(tmp_path, saved):
    average = {name: value + 1 if value.is_floating_point() else value for name, value in saved.state_dict().items()}
    path = tmp_path / "both.pth"
    torch.save({"state_dict": saved.state_dict(), "state_dict_ema": average}, path)
    network = load(path)
    assert torch.equal(network.conv1.weight, saved.conv1.weight + 1)
    assert "the averaged ones (EMA)" in str(network.loaded)


def test_of_two_networks_in_one_file_the_teacher_is_taken_and_the_student_named(tmp_path, saved):
    """DINO and its kin; a name such as 'cinema' is no average."""
    teacher = {name: value + 1 if value.is_floating_point() else value for name, value in saved.state_dict().items()}
    path = tmp_path / "dino.pth"
    torch.save(prefixed(saved.state_dict(), "student.") | prefixed(teacher, "teacher."), path)
    network = load(path)
    assert torch.equal(network.conv1.weight, saved.conv1.weight + 1)
    assert "other weights of the same names are left out: 'student'" in str(network.loaded)
    torch.save(prefixed(teacher, "cinema.") | prefixed(saved.state_dict(), "a."), path)
    found = str(load(path).loaded)
    assert "EMA" not in found
    assert "'cinema'" in found


def test_other_parts_beside_the_backbone_are_left_out_and_said(tmp_path, saved):
    path = tmp_path / "segmenter.pth"
    torch.save(prefixed(saved.state_dict(), "backbone.") | {"decode_head.weight": torch.zeros(3)}, path)
    assert "left out 1 tensor beside it (decode_head)" in str(load(path).loaded)


def test_a_classifier_of_other_classes_or_of_another_name_starts_anew(tmp_path, saved):
    path = tmp_path / "weights.safetensors"
    save_file(saved.state_dict(), path)
    found = load(path, num_classes=3).loaded
    assert "its classifier of 7 classes left out (here 3)" in str(found)
    assert "the classifier starts anew" in str(found)
    renamed = {name.replace("fc.", "head.last."): value for name, value in saved.state_dict().items()}
    save_file(renamed, path)
    assert "its classifier 'head.last' left out" in str(load(path).loaded)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_first_convolution_is_adapted_and_nothing_else(tmp_path, saved, channels):
    path = tmp_path / "weights.pth"
    torch.save(saved.state_dict(), path)
    network = load(path, in_chans=channels)
    assert f"the first convolution adapted from 3 to {plural(channels, 'channel')}" in str(network.loaded)
    if channels == 1:
        torch.testing.assert_close(network.conv1.weight, saved.conv1.weight.sum(1, keepdim=True))


def test_what_loads_nothing_or_half_is_refused_with_names_and_share(tmp_path, saved):
    path = tmp_path / "other.pth"
    torch.save(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).state_dict(), path)
    with pytest.raises(
        BackboneError, match=r"other\.pth do not fit cifar_resnet8: 0 of its \d+ tensors match"
    ) as caught:
        load(path)
    assert caught.value.where == ("weights",)
    assert "missing: conv1.weight" in str(caught.value)
    assert "in all" in str(caught.value)
    half = {name: value for name, value in saved.state_dict().items() if not name.startswith("layer3")}
    torch.save(half, path)
    with pytest.raises(BackboneError, match=r"6\d %|6\d%.*missing: layer3"):
        load(path)
    torch.save(saved.state_dict() | {"layer1.0.se.fc1.weight": torch.zeros(2, 2, 1, 1)}, path)
    with pytest.raises(BackboneError, match=r"unexpected: layer1\.0\.se\.fc1\.weight"):
        load(path)
    wide = timm.create_model(MODEL, num_classes=7, width=8)
    torch.save(wide.state_dict(), path)
    with pytest.raises(BackboneError, match=r"of other shape: .*instead of"):
        load(path)


def test_a_file_that_cannot_be_read_or_holds_no_tensors_is_refused(tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BackboneError, match=r"cannot read the weights .*: it holds no tensors that torch"):
        load(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(BackboneError, match="holds no tensors"):
        load(path)


def test_names_of_their_authors_are_translated_as_timm_does(tmp_path):
    """ConvNeXt as Facebook published it: ``downsample_layers``, ``dwconv``, ``pwconv1``."""
    torch.manual_seed(5)
    ours = timm.create_model("test_convnext", num_classes=7)
    theirs = {}
    for name, value in ours.state_dict().items():
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        name = name.replace("head.fc", "head").replace("head.norm", "norm")
        if name.startswith("stem."):
            name = name.replace("stem.", "downsample_layers.0.")
        elif ".downsample." in name:
            _, stage, _, rest = name.split(".", 3)
            name = f"downsample_layers.{stage}.{rest}"
        else:
            name = name.replace(".blocks.", ".")
        theirs[name] = value
    path = tmp_path / "facebook.pth"
    torch.save({"model": theirs}, path)
    network = build_network(Architecture.uniform("test_convnext", "none"), num_classes=7, image_size=64, weights=path)
    assert torch.equal(network.stem[0].weight, ours.stem[0].weight)
    assert "names translated" in str(network.loaded)


def test_random_weights_say_nothing():
    assert not hasattr(build_network(Architecture.uniform(MODEL, "none"), image_size=16), "loaded")


def test_weights_that_are_to_be_fetched_are_told_before_the_hub_is_asked(monkeypatch, caplog):
    """The hub tries for most of a minute before it gives up; what lies in its cache needs no word."""
    cached = []
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: cached[0] if cached else None)
    assert to_fetch("hf_hub:somebody/network@main").endswith("/somebody/network")
    assert to_fetch("local-dir:somewhere") is None
    assert to_fetch("resnet18.no_such_tag") is None

    def asked(*_, **__):
        assert "Fetching the pretrained weights of resnet18 from https://" in caplog.text
        assert "/timm/resnet18" in caplog.text
        raise BackboneError("no network here")

    monkeypatch.setattr("chattn_nas.network._timm.create", asked)
    with pytest.raises(BackboneError, match="no network here"):
        load_hub("resnet18", {})
    cached.append("model.safetensors")
    assert to_fetch("resnet18") is None


def test_a_file_in_place_of_timms_weights_is_not_fetched(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    path = tmp_path / "mine.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    backbone = Backbone("test_resnet", {"pretrained_cfg_overlay": {"file": str(path)}})
    network = build_network(Architecture.uniform(backbone, "none"), num_classes=1000, image_size=64, pretrained=True)
    assert str(network.loaded).startswith("mine.pth: ")
    assert "Fetching" not in caplog.text
    assert to_fetch("test_resnet", {"hf_hub_id": "somebody/network"}).endswith("/somebody/network")
