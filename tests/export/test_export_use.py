"""An exported folder in use: scored, timed, folded."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from chattn_nas.data import TensorSet
from chattn_nas.errors import InputError
from chattn_nas.export import Card, bench_folder, evaluate_folder, export_network, fold_batchnorm, open_folder
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice

ARCHITECTURE = Architecture(Backbone("cifar_resnet8", {"width": 4}), (StageChoice("se"),))


def _warmed(network: nn.Module, *shape: int) -> nn.Module:
    """With BatchNorm statistics that are not those of a fresh network."""
    torch.manual_seed(0)
    network.train()
    for _ in range(3):
        network(2 * torch.randn(8, *shape) + 1)
    return network.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    network = _warmed(build_network(ARCHITECTURE, num_classes=4, in_chans=1, image_size=16, seed=0), 1, 16, 16)
    path = tmp_path_factory.mktemp("use") / "out"
    card = Card(name="use", backbone="cifar_resnet8", mean=(0.5,), std=(0.25,))
    export_network(
        network, architecture=ARCHITECTURE, out_dir=path, num_classes=4, in_chans=1, image_size=16, card=card,
        formats=("source",),
    )  # fmt: skip
    return path


def test_evaluate_counts_what_the_network_answers(folder):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8, generator=generator)
    network = open_folder(folder).network()
    with torch.no_grad():
        answers = network((images.float() / 255 - 0.5) / 0.25).argmax(1)
    labels = torch.where(torch.arange(20) < 15, answers, (answers + 1) % 4)
    score = evaluate_folder(folder, TensorSet(images, labels), batch_size=7)
    assert score.accuracy == 0.75
    assert score.images == 20
    assert score.loss > 0


def test_evaluate_scores_by_the_metric_that_is_asked_for(folder):
    images = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 4
    score = evaluate_folder(folder, TensorSet(images, labels), metric="balanced_accuracy")
    assert score.metric == "balanced_accuracy"
    assert score.score == pytest.approx(score.accuracy)  # as many of each class
    presence = torch.nn.functional.one_hot(labels, 4).to(torch.uint8)
    several = evaluate_folder(folder, TensorSet(images, presence))
    assert several.metric == "average_precision"
    assert 0 < several.score < 1
    assert several.loss == pytest.approx(
        float(torch.nn.functional.binary_cross_entropy_with_logits(_logits(folder, images), presence.float())), abs=1e-5
    )
    with pytest.raises(InputError, match="no metric 'accuracy' for several labels"):
        evaluate_folder(folder, TensorSet(images, presence), metric="accuracy")
    with pytest.raises(InputError, match="has 3 classes, the network 4"):
        evaluate_folder(folder, TensorSet(images, presence[:, :3]))


def _logits(folder, images):
    exported = open_folder(folder)
    with torch.no_grad():
        return exported.network()(exported.model.normalise(images))


def test_evaluate_refuses_other_images(folder):
    other = TensorSet(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match=r"shape \(1, 16, 16\).*\(3, 16, 16\)"):
        evaluate_folder(folder, other)
    labelled = TensorSet(torch.zeros(2, 1, 16, 16, dtype=torch.uint8), torch.tensor([0, 9]))
    with pytest.raises(InputError, match="label 9"):
        evaluate_folder(folder, labelled)


def test_evaluate_refuses_other_classes_and_a_network_that_fails(folder, monkeypatch):
    images = TensorSet(torch.zeros(2, 1, 16, 16, dtype=torch.uint8), torch.tensor([0, 1]))
    opened = open_folder(folder)
    monkeypatch.setattr(opened.model, "CLASS_NAMES", ("cat", "dog", "owl", "pig"))
    assert evaluate_folder(opened, images, class_names=("cat", "dog", "owl", "pig")).images == 2
    assert evaluate_folder(opened, images, class_names=("0", "1", "2", "3")).images == 2, "names that name nothing"
    for names, said in (
        (("cat", "owl", "pig"), r"the set lacks 'dog'$"),
        (("cat", "dog", "pig", "owl"), "their order differs"),
        (("cat", "dog", "owl", "pig", "rat"), r"does not know 'rat'$"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate_folder(opened, images, class_names=names)
    monkeypatch.setattr(opened.model, "normalise", lambda images: images / nothing)  # noqa: F821 (a damaged name)
    with pytest.raises(InputError, match=r"model\.py fails: NameError"):
        evaluate_folder(opened, images)


def test_a_folder_that_export_did_not_write_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model\.py"):
        open_folder(tmp_path)
    for name in ("weights.pt", "architecture.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "model.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        open_folder(tmp_path)


def test_bench_measures_against_no_attention(folder):
    latency = bench_folder(folder, batch_size=2, seconds=0.1)
    assert latency.folded_norms == 9  # the stem, two per block, two shortcuts
    assert 0 < latency.reference < 1
    assert latency.relative == latency.network / latency.reference


@pytest.mark.parametrize("name", ["resnet10t", "test_efficientnet", "test_vit"])
def test_folding_keeps_the_outputs(name):
    options = {"img_size": 32} if name == "test_vit" else {}
    network = _warmed(timm.create_model(name, num_classes=10, **options), 3, 32, 32)
    images = torch.randn(2, 3, 32, 32)
    folded, count = fold_batchnorm(network, images)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert count == norms - sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert (count == norms) or name != "resnet10t"
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)
