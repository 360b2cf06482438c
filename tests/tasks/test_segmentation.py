"""Segmentation: masks as they are read, trained on and scored; references are torch's, torchmetrics' and
scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics
from task_data import built, masks
from torch.nn import functional as F
from torchmetrics.functional.segmentation import mean_iou

from chattn_nas import tasks
from chattn_nas.data import DataSettings, TensorSet, load_data
from chattn_nas.errors import DataError, InputError
from chattn_nas.network import FeatureMap, cost
from chattn_nas.proxy import Outcome, ProxySettings, train
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.tasks.pyramid import Pyramid, Upsample
from chattn_nas.tasks.segmentation import SegmentationSettings, summed

TASK = SegmentationSettings(stride=1, width=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return masks(tmp_path_factory.mktemp("masks"))


@pytest.fixture(scope="module")
def settings(folder) -> DataSettings:
    return DataSettings(dataset="masks", path=str(folder), image_size=16)


@pytest.fixture(scope="module")
def data(settings) -> tasks.TaskData:
    return tasks.load(TASK, settings)


def test_an_official_validation_folder_scores_the_search(data) -> None:
    assert (len(data.train), len(data.validation), data.class_names) == (24, 12, ("0", "1", "2"))
    assert data.train.labels.shape == (24, 16, 16)


def test_other_layouts_are_the_same_set(folder, tmp_path, data) -> None:
    for part in ("train", "val"):
        for kind, there in (("images", "img_dir"), ("masks", "ann_dir")):
            place = tmp_path / there / f"{part}2017"
            place.mkdir(parents=True)
            for path in (folder / part / kind).iterdir():
                ending = "_labelTrainIds" if kind == "masks" else ""
                (place / f"{path.stem}{ending}.png").write_bytes(path.read_bytes())
    other = load_data(DataSettings(dataset="masks", path=str(tmp_path), image_size=16))
    assert torch.equal(other.train.labels, data.train.labels)
    assert torch.equal(other.validation.labels, data.validation.labels)
    next((tmp_path / "ann_dir" / "train2017").iterdir()).unlink()
    with pytest.raises(DataError, match="1 image has no mask: img_dir/train2017/"):
        load_data(DataSettings(dataset="masks", path=str(tmp_path), image_size=16))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(12, 20), (20, 12), (17, 17)])
def test_a_mask_lies_on_its_image_whatever_their_proportions(tmp_path, resize, size) -> None:
    """Images that show the number of their mask: black where it is 0, white where it is 1, grey where padding is."""
    for kind in ("images", "masks"):
        (tmp_path / "train" / kind).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((30, 41 + number), np.uint8)
        mask[10 + number % 3 :, 8 + number : 30] = 1
        Image.fromarray(mask).save(tmp_path / "train" / "masks" / f"{number}.png")
        Image.fromarray(np.stack([255 * mask] * 3, 2)).save(tmp_path / "train" / "images" / f"{number}.png")
    found = load_data(
        DataSettings(dataset="masks", path=str(tmp_path), image_size=size, resize=resize, background="gray", channels=1)
    )
    shown, masks_of = found.train.images[:, 0], found.train.labels
    assert shown.shape[1:] == masks_of.shape[1:] == size
    assert masks_of[shown > 250].eq(1).all()
    assert masks_of[shown < 5].eq(0).all()
    if resize == "pad":
        assert shown[masks_of == 255].eq(128).all(), "what is void is what padding added, to the pixel"


def test_image_and_mask_go_the_same_way_and_the_border_is_void(data) -> None:
    """The mask as a third channel of an image tells where every pixel came from."""
    mask = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).repeat(32, 1, 1) % 3
    batch = TensorSet((mask[:, None] * 100).repeat(1, 3, 1, 1), mask)
    inputs, targets = data.task.prepare(batch, torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (data.mean, data.std))
    pixels = ((inputs * std + mean) * 255).round()[:, 0]
    inside = targets >= 0
    assert torch.equal(pixels[inside], 100.0 * targets[inside])
    assert (pixels[~inside] == 0).all()
    assert 0 < (~inside).float().mean() < 0.3


def test_scores_are_those_of_torchmetrics_and_scikit_learn(data) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 3, 16, 16, generator=generator)
    masks = torch.randint(3, (12, 16, 16), generator=generator, dtype=torch.uint8)
    scorer = data.task.scorer(12, torch.device("cpu"))
    for rows in torch.arange(12).split(5):
        scorer.add(logits[rows], masks[rows], rows)
    score, loss = scorer.result()
    flat = logits.argmax(1).flatten()[None, None], masks.long().flatten()[None, None]
    wanted = mean_iou(*flat, num_classes=3, input_format="index")
    assert score == pytest.approx(float(wanted), abs=1e-6)
    assert loss == pytest.approx(float(F.cross_entropy(logits, masks.long())), abs=1e-5)
    masks[:, :8] = 255  # void counts for nothing, whatever is said there
    found = []
    for changed in (logits, torch.cat([-logits[:, :, :8], logits[:, :, 8:]], 2)):
        scorer.reset()
        scorer.add(changed, masks, torch.arange(12))
        found.append((scorer.result(), scorer.figures()))
    assert found[0] == found[1]
    said, true = (one[:, 8:].flatten() for one in (logits.argmax(1), masks))
    wanted = metrics.jaccard_score(true, said, average=None, labels=range(3))
    assert found[0][1]["iou"] == pytest.approx(wanted, abs=1e-4)
    assert found[0][0][0] == pytest.approx(metrics.jaccard_score(true, said, average="macro"), abs=1e-6)
    assert found[0][1]["accuracy"] == pytest.approx(metrics.accuracy_score(true, said), abs=1e-6)
    assert found[0][1]["recall"] == pytest.approx(metrics.recall_score(true, said, average=None), abs=1e-4)


def test_the_loss_leaves_void_out_and_survives_nothing_but_void(data) -> None:
    logits, targets = torch.randn(2, 3, 4, 4, requires_grad=True), torch.full((2, 4, 4), -1)
    loss = data.task.criterion(torch.device("cpu"))(logits, targets)
    loss.backward()
    assert loss.detach() == 0
    assert (logits.grad == 0).all()
    targets[0] = 1
    total, count = summed(logits, targets)
    assert int(count) == 16
    torch.testing.assert_close(total, F.cross_entropy(logits[:1], targets[:1], reduction="sum"))
    assert data.task.presence(targets).tolist() == [[0, 1, 0], [0, 0, 0]]


def test_a_value_that_is_ignored_is_no_class(settings) -> None:
    data = tasks.load(SegmentationSettings(ignore_index=1), settings)
    assert data.class_names == ("0", "2")
    assert set(data.task.targets(data.train.labels).unique().tolist()) == {-1, 0, 1}


def test_a_value_that_is_no_class_is_refused(folder, tmp_path) -> None:
    """Silently it would count for nothing."""
    for path in folder.rglob("*.png"):
        (tmp_path / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(folder)).write_bytes(path.read_bytes())
    (tmp_path / "classes.txt").write_text("noise\nsquare\n")
    named = DataSettings(dataset="masks", path=str(tmp_path), image_size=16)
    with pytest.raises(InputError, match=r"masks hold 2, and there are 2 classes, 0 to 1: .*task.ignore_index: 2"):
        tasks.load(TASK, named)
    assert tasks.load(SegmentationSettings(ignore_index=2), named).class_names == ("noise", "square")


def test_a_void_that_no_mask_holds_is_refused(settings) -> None:
    """A mistyped number was accepted without a word."""
    with pytest.raises(InputError, match=r"ignore_index is 254, and no mask holds it; they hold 0, 1, 2"):
        tasks.load(SegmentationSettings(ignore_index=254), settings)
    assert tasks.load(SegmentationSettings(ignore_index=255), settings).class_names == ("0", "1", "2")


def test_upsampling_is_torch_s() -> None:
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(Upsample((5, 7), (13, 28))(x), F.interpolate(x, (13, 28), mode="bilinear"))


def test_the_pyramid_is_the_paper_s() -> None:
    """Written down once more, with torch's own functions: laterals, enlarged and added from the coarsest on."""
    sizes = [(12, 16), (6, 8), (3, 4)]
    head = Pyramid([FeatureMap(n, 4 + n, 2**n, size) for n, size in enumerate(sizes)], 5, (24, 32), 8).eval()
    maps = [torch.randn(2, 4 + n, *size) for n, size in enumerate(sizes)]
    with torch.no_grad():
        head.norm.running_mean.normal_()
        x = None
        for lateral, one in reversed(list(zip(head.lateral, maps, strict=True))):
            mine = F.conv2d(one, lateral.weight, lateral.bias)
            x = mine if x is None else mine + F.interpolate(x, one.shape[2:], mode="bilinear")
        x = F.conv2d(F.conv2d(x, head.smooth.weight, padding=1, groups=8), head.mix.weight)
        x = F.relu(F.batch_norm(x, head.norm.running_mean, head.norm.running_var, head.norm.weight, head.norm.bias))
        x = F.conv2d(x, head.classify.weight, head.classify.bias)
        torch.testing.assert_close(head(maps), F.interpolate(x, (24, 32), mode="bilinear"), atol=1e-5, rtol=1e-5)


def test_the_head_is_drawn_apart_and_counted(data) -> None:
    one, other = built(data, "se"), built(data, "none")
    for name, value in one.head.state_dict().items():
        assert torch.equal(value, other.head.state_dict()[name]), name
    assert len(one.attention_slots) == 3
    for slot in one.attention_slots:
        assert type(one.get_submodule(slot.path)).__name__ == "SEModule" or slot.path.startswith("body.body.")
    head = sum(p.numel() for p in one.head.parameters())
    assert cost(one, 16).parameters == head + sum(p.numel() for p in one.body.parameters())
    assert all(p.requires_grad for p in one.parameters())


@pytest.mark.parametrize("kind", ["se", "enc_module"])
def test_it_learns(data, kind) -> None:
    """Far above the floor, with every parameter moved; EncNet's attention hears which classes are present."""
    network = built(data, kind)
    before = {name: value.clone() for name, value in network.named_parameters()}
    proxy = ProxySettings(rungs=[1, 30], device="cpu", **data.task.recipe | {"batch_size": 8})
    found = train(network, data, proxy, seed=0)
    assert found.outcome is Outcome.COMPLETE
    assert found.rungs[-1].score > 1.7 * data.task.floor()["score"]
    assert len(found.rungs[-1].figures["iou"]) == 3
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_what_does_not_fit_is_refused_in_a_sentence(settings) -> None:
    with pytest.raises(InputError, match="the targets of this data set are no labels"):
        tasks.load(tasks.TaskSettings(), settings)
    with pytest.raises(InputError, match="needs a mask per image"):
        tasks.load(TASK, DataSettings(image_size=8))
    with pytest.raises(DataError, match="no metric 'auroc' for segmentation"):
        tasks.load(TASK, settings.changed(metric="auroc"))
    with pytest.raises(DataError, match="moves pixels without their masks"):
        tasks.load(TASK, settings.changed(augment="trivial"))
    with pytest.raises(DataError, match=r"data\.sampling: balanced needs one target per image"):
        tasks.load(TASK, settings.changed(sampling="balanced"))


def test_a_batch_in_parts_has_the_gradient_of_the_whole(data) -> None:
    """Though one part is nearly all void: its few pixels count as pixels."""
    network = built(data).eval()
    batch = data.train[torch.arange(8)]
    batch.labels[:4, 1:] = 255
    found = []
    for parts in (1, 2):
        step = TrainingStep(
            network, torch.optim.SGD(network.parameters(), lr=0.0),
            lambda batch: (data.task.inputs(batch.images), data.task.targets(batch.labels)), task=data.task,
            criterion=data.task.criterion(torch.device("cpu")), accumulate=parts,
        )  # fmt: skip
        loss = step(batch)
        found.append((loss, [p.grad.clone() for p in network.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-4)


def test_images_that_are_not_square(settings) -> None:
    """Half as high as wide, from prepared batch to score; an odd size, so that maps round."""
    data = tasks.load(TASK, settings.changed(image_size=(10, 22)))
    network = built(data)
    inputs, targets = data.task.prepare(data.train[torch.arange(8)], torch.Generator().manual_seed(0))
    assert (inputs.shape[2:], targets.shape[1:], network(inputs).shape) == ((10, 22), (10, 22), (8, 3, 10, 22))
    found = train(network, data, ProxySettings(rungs=[1], device="cpu", batch_size=8), seed=0)
    assert found.outcome is Outcome.COMPLETE
    square = tasks.load(TASK, settings.changed(image_size=15))
    assert cost(network, data.image_size).macs == pytest.approx(cost(built(square), 15).macs, rel=0.1)
