"""Metrics are those of scikit-learn on the same numbers; several labels per image are learned as such."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics as by
from torch.nn import functional as F

from chattn_nas.data import Augmentation, Data, TensorSet
from chattn_nas.errors import DataError
from chattn_nas.proxy import ProxySettings, train
from chattn_nas.proxy.order import draw, even_odds
from chattn_nas.tasks.label_metrics import build_metric, figures, metric_unit


@pytest.fixture
def scored():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (400,), generator=generator)
    return torch.randn(400, 7, generator=generator) + 1.5 * F.one_hot(labels, 7), labels


def test_one_label_per_image(scored) -> None:
    logits, labels = scored
    shares, said = logits.softmax(1).numpy(), logits.argmax(1).numpy()
    expected = {
        "accuracy": by.accuracy_score(labels, said),
        "balanced_accuracy": by.balanced_accuracy_score(labels, said),
        "macro_f1": by.f1_score(labels, said, average="macro"),
        "top5": by.top_k_accuracy_score(labels, shares, k=5),
        "auroc": by.roc_auc_score(labels, shares, multi_class="ovr", average="macro"),
        "average_precision": by.average_precision_score(F.one_hot(labels, 7), shares, average="macro"),
        "log_loss": np.exp(-by.log_loss(labels, shares)),
    }
    for name, value in expected.items():
        assert build_metric(name, 7)(logits, labels) == pytest.approx(value, abs=1e-5), name


def test_several_labels_per_image() -> None:
    generator = torch.Generator().manual_seed(1)
    presence = torch.randint(2, (300, 4), generator=generator, dtype=torch.uint8)
    logits = torch.randn(300, 4, generator=generator) + presence
    shares = logits.sigmoid().numpy()
    expected = {
        "average_precision": by.average_precision_score(presence, shares, average="macro"),
        "auroc": by.roc_auc_score(presence, shares, average="macro"),
        "macro_f1": by.f1_score(presence, shares > 0.5, average="macro"),
        "log_loss": np.exp(-np.mean([by.log_loss(presence[:, k], shares[:, k]) for k in range(4)])),
    }
    for name, value in expected.items():
        assert build_metric(name, 4, multilabel=True)(logits, presence) == pytest.approx(value, abs=1e-5), name
    with pytest.raises(DataError, match="no metric 'accuracy' for several labels per image"):
        build_metric("accuracy", 4, multilabel=True)


def test_figures_of_every_class(scored) -> None:
    logits, labels = scored
    found = figures(logits, labels)
    said = logits.argmax(1)
    assert found["confusion"] == by.confusion_matrix(labels, said).tolist()
    assert found["recall"] == pytest.approx(by.recall_score(labels, said, average=None), abs=1e-4)
    assert found["precision"] == pytest.approx(by.precision_score(labels, said, average=None), abs=1e-4)


def test_a_metric_of_the_users_own(tmp_path, monkeypatch, scored) -> None:
    (tmp_path / "own_metric.py").write_text(
        "def seventh(logits, targets):\n    return ((logits.argmax(1) == 6) == (targets == 6)).float().mean()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    logits, labels = scored
    value = build_metric("own_metric:seventh", 7)(logits, labels)
    assert value == pytest.approx(float(((logits.argmax(1) == 6) == (labels == 6)).float().mean()))
    with pytest.raises(DataError, match="has no 'eighth' that could be a metric"):
        build_metric("own_metric:eighth", 7)
    sys.modules.pop("own_metric")


def test_a_metric_of_the_users_own_on_another_scale_says_its_unit(tmp_path, monkeypatch, scored) -> None:
    (tmp_path / "own_scaled.py").write_text(
        "from chattn_nas.unit import Unit\n"
        "def ninety_seven(logits, targets):\n    return 97.0\n"
        "def without_end(logits, targets):\n    return float('inf')\n"
        "def bits(logits, targets):\n    return -2.5\n"
        "bits.unit = Unit(name='bits', title='bits', unit='bit', difference='bit', scale=1.0)\n"
        "def kappa(logits, targets):\n    return -0.04\n"
        "def wrong(logits, targets):\n    return 0.5\n"
        "wrong.unit = 'bit'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match=r"gave 97, which would be shown as 9700.00 %: give a share \(0 to 1\)"):
        build_metric("own_scaled:ninety_seven", 7)(*scored)
    with pytest.raises(DataError, match="returned inf instead of a number"):
        build_metric("own_scaled:without_end", 7)(*scored)
    with pytest.raises(DataError, match=r"unit of metric 'own_scaled:wrong' is no chattn_nas.unit.Unit but 'bit'"):
        metric_unit("own_scaled:wrong")
    assert build_metric("own_scaled:kappa", 7)(*scored) == -0.04
    assert metric_unit("own_scaled:bits").text(build_metric("own_scaled:bits", 7)(*scored)) == "-2.50 bit"
    sys.modules.pop("own_scaled")


def made(labels: torch.Tensor, **facts) -> Data:
    images = torch.randint(256, (len(labels), 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    classes = labels.shape[1] if labels.ndim > 1 else int(labels.max()) + 1
    return Data(train=TensorSet(images, labels), validation=TensorSet(images, labels), num_classes=classes, in_chans=1,
                image_size=8, mean=(0.5,), std=(0.3,), class_names=tuple(map(str, range(classes))),
                augmentation=Augmentation(), **facts)  # fmt: skip


def network(classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))


SETTINGS = ProxySettings(rungs=[1, 20], batch_size=16, device="cpu", learning_rate=0.5, label_smoothing=0)


def test_several_labels_are_learned(monkeypatch) -> None:
    presence = (torch.rand(64, 3, generator=torch.Generator().manual_seed(2)) < 0.5).to(torch.uint8)
    data = made(presence, multilabel=True, metric="average_precision")
    found = train(network(3), data, SETTINGS, seed=0)
    first, last = found.rungs
    assert last.score > 0.95
    assert last.score > first.score
    assert last.loss < 0.4
    assert len(last.figures["recall"]) == 3
    assert not first.figures


def test_the_metric_scores_every_rung() -> None:
    labels = torch.arange(64) % 4
    plain = train(network(4), made(labels), SETTINGS, seed=0)
    f1 = train(network(4), made(labels, metric="macro_f1"), SETTINGS, seed=0)
    assert f1.train_loss_sum == plain.train_loss_sum
    assert f1.rungs[-1].figures == plain.rungs[-1].figures
    matrix = np.array(plain.rungs[-1].figures["confusion"])
    assert plain.rungs[-1].score == pytest.approx(matrix.trace() / 64)


def test_class_weights_and_balanced_draws_help_the_rare_class() -> None:
    labels = torch.cat([torch.zeros(240, dtype=torch.int64), torch.ones(16, dtype=torch.int64)])
    plain = made(labels, metric="balanced_accuracy")
    settings = SETTINGS.model_copy(update={"rungs": [3], "learning_rate": 0.02})
    scores = [
        train(network(2), data, settings, seed=0).rungs[-1].figures["recall"][1]
        for data in (
            plain,
            dataclasses.replace(plain, class_weights=(0.53, 8.0)),
            dataclasses.replace(plain, balanced=True),
        )
    ]
    assert scores[1] > scores[0] + 0.2
    assert scores[2] > scores[0] + 0.2


def test_balanced_draws() -> None:
    labels = torch.cat([torch.zeros(900, dtype=torch.int64), torch.ones(100, dtype=torch.int64)])
    drawn = draw(1000, even_odds(labels), torch.Generator().manual_seed(0))
    assert 430 < int(labels[drawn].sum()) < 570
    again = draw(1000, even_odds(labels), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    assert torch.equal(draw(50, None, torch.Generator().manual_seed(3)).sort().values, torch.arange(50))
