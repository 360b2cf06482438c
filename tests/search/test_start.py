"""The start through search, training and export."""

import pytest
import torch

from chattn_nas.errors import InputError, SpecError
from chattn_nas.export import Card, export_network
from chattn_nas.results.starts import starts
from chattn_nas.search.trainer import ProxyTrainer, build_prepared
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec, load_spec
from chattn_nas.study.record import Record

PLAIN = {
    "name": "start",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 256},
    "space": {"all": ["none", "se"]},
    "proxy": {"rungs": [1], "batch_size": 64},
}


def spec(start=None, **proxy):
    return Spec.model_validate({**PLAIN, "proxy": PLAIN["proxy"] | proxy | ({"start": start} if start else {})})


@pytest.fixture(scope="module")
def trainers():
    return {start: ProxyTrainer(spec(start)) for start in ("unit", "official", "identity")}


def architecture(trainer, kind, **settings):
    backbone = trainer.spec.backbone.backbone
    return Architecture(backbone, Architecture.uniform("cifar_resnet8", kind, **settings).stages).canonical(
        trainer.stages
    )


def test_another_start_is_another_run():
    assert spec().proxy.start == "unit"
    hashes = {spec(start).hash for start in ("unit", "official", "identity")}
    assert len(hashes) == 3
    assert spec("unit").hash == spec().hash
    assert spec().differences(spec("official")) == ["proxy.start"]


def test_the_earlier_key_is_read(tmp_path):
    def backbone(value):
        return {**PLAIN, "backbone": PLAIN["backbone"] | {"identity_init": value}}

    assert Spec.model_validate(backbone(True)).proxy.start == "identity"
    assert Spec.model_validate(backbone(False)).proxy.start == "official"
    text = (
        "name: a\nbackbone:\n  model: cifar_resnet8\n  identity_init: true\n"
        "data: {dataset: digits, image_size: 16}\nspace: {all: [none]}\nproxy: {start: unit}\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"identity_init: true and proxy.start: unit contradict each other"):
        load_spec(tmp_path / "a.yaml")


def test_a_trained_backbone_keeps_its_branches():
    with pytest.raises(InputError, match="leave it at 1"):
        Spec.model_validate(
            {**PLAIN, "backbone": PLAIN["backbone"] | {"pretrained": True}, "proxy": {"branch_scale": 2}}
        )


def test_a_measurement_tells_how_it_started(trainers):
    rows = []
    for start, trainer in trainers.items():
        for label, kind in (("none", "none"), ("uniform se", "se")):
            network = trainer.build(architecture(trainer, kind), seed=0)
            measured = trainer.train(network, 0, lambda rung, result: False)
            assert measured.first_epoch_loss == pytest.approx(measured.train_loss_sum / 4, rel=1e-6)
            assert len(measured.stage_scales) == (3 if kind == "se" else 0)
            expected = 0.5 if start == "official" else 1.0
            for scale in measured.stage_scales:
                assert scale.ratio == pytest.approx(expected, abs=0.03)
                assert scale.start > 0
                assert scale.end > 0
                assert scale.end != scale.start
            assert type(measured).from_dict(measured.to_dict()) == measured
            name = f"{label} {start}" if kind == "se" else label
            rows.append(
                Record(number=len(rows), hash=name, label=name, seed=0, outcome="complete", measurement=measured)
            )
    marks = {row.name: row.mark for row in starts(rows)}
    assert marks["uniform se official"] == "handicap"
    assert marks["uniform se unit"] != "handicap"
    assert marks["uniform se identity"] != "handicap"


def test_trained_weights_are_loaded_with_their_constants(trainers):
    trainer = trainers["unit"]
    network = trainer.build(architecture(trainer, "se", placement="after_add"), seed=3)
    again = build_prepared(trainer.spec, network.architecture, seed=9, data=trainer.data, state=network.state_dict())
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(network.eval()(x), again.eval()(x))


@pytest.mark.parametrize("placement", ["before_add", "after_add"])
def test_an_export_holds_the_start_and_nothing_more(trainers, placement, tmp_path):
    """The constant stands in the source as a number; no parameter, no buffer."""
    networks = {
        start: trainers[start].build(architecture(trainers[start], "se", placement=placement), seed=0)
        for start in ("unit", "official")
    }
    card = Card(name="a", backbone="cifar_resnet8", dataset="digits", class_names=tuple("0123456789"), mean=(0.5,),
                std=(0.5,))  # fmt: skip
    states = {}
    for start, network in networks.items():
        written = export_network(
            network, architecture=network.architecture, out_dir=tmp_path / start, num_classes=10, in_chans=1,
            image_size=8, card=card, formats=("source", "safetensors", "timm"),
        )  # fmt: skip
        assert written.max_difference < 1e-5
        states[start] = torch.load(tmp_path / start / "weights.pt", weights_only=True)
    shapes = [sorted(tuple(value.shape) for value in state.values()) for state in states.values()]
    assert shapes[0] == shapes[1]
