"""Detection: what every position learns, the losses and the metric; references are torchvision's and pycocotools'."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from task_data import boxes, built
from torchvision import ops
from torchvision.models.detection import FCOS
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from chattn_nas import tasks
from chattn_nas.data import DataSettings, TensorSet
from chattn_nas.errors import DataError, InputError, MissingExtraError
from chattn_nas.network import cost
from chattn_nas.proxy import Outcome, ProxySettings, train
from chattn_nas.tasks import box_answer
from chattn_nas.tasks.coco_metrics import average_precision
from chattn_nas.tasks.detection import DetectionSettings
from chattn_nas.tasks.fcos import Head, Placed, assigned, candidates, mean_of, summed

TASK = DetectionSettings(stride=2, width=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return boxes(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def settings(folder) -> DataSettings:
    return DataSettings(dataset="coco", path=str(folder), image_size=32)


@pytest.fixture(scope="module")
def data(settings) -> tasks.TaskData:
    return tasks.load(TASK, settings)


def target(*rows: tuple[float, ...], most: int = 4) -> torch.Tensor:
    found = torch.zeros(1, most, 6)
    found[..., 4] = -1
    found[0, : len(rows)] = torch.tensor(rows).view(-1, 6)
    return found


def places(*maps: tuple[int, int]) -> torch.Tensor:
    """Positions of square maps of so many places at such a stride."""
    every = []
    for side, stride in maps:
        at = (torch.arange(side) + 0.5) * stride
        y, x = torch.meshgrid(at, at, indexing="ij")
        every.append(torch.stack([x.flatten(), y.flatten(), torch.full((side**2,), float(stride))], 1))
    return torch.cat(every)


def test_positions_learn_the_smallest_object_whose_middle_is_near_on_the_map_that_suits() -> None:
    place = places((8, 8), (4, 16))  # an image of 64 px
    small, large, crowd = (16, 16, 40, 40, 1, 0), (0, 0, 64, 64, 0, 0), (48, 48, 64, 64, 2, 1)
    row, learns, counts = assigned(target(small, large, crowd), place)
    fine, coarse = learns[0, :64].view(8, 8), learns[0, 64:].view(4, 4)
    assert (row[0, :64][fine.flatten()] == 0).all()
    assert fine.nonzero().tolist() == [[y, x] for y in (2, 3, 4) for x in (2, 3, 4)]
    assert (row[0, 64:][coarse.flatten()] == 1).all()
    assert coarse.nonzero().tolist() == [[y, x] for y in (1, 2) for x in (1, 2)]
    aside = ~counts[0, :64].view(8, 8)
    assert aside.nonzero().tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]
    within, _, _ = assigned(target((0, 0, 40, 40, 1, 0), (16, 16, 40, 40, 2, 0)), places((8, 8)))
    assert within[0, 3 * 8 + 3] == 1, "of two objects the smaller one is learned"
    _, none, all_count = assigned(target(), place)
    assert not none.any()
    assert all_count.all()


@pytest.mark.parametrize("seed", range(3))
def test_positions_learn_what_they_do_in_torchvision(seed) -> None:
    """On one map, where no object suits another better; its code decides by anchors as large as the stride."""
    generator = torch.Generator().manual_seed(seed)
    low, side = 50 * torch.rand(6, 2, generator=generator), 3 + 30 * torch.rand(6, 2, generator=generator)
    corners = torch.cat([low, low + side], 1)
    place = places((8, 8))
    row, learns, _ = assigned(torch.cat([corners, torch.zeros(6, 2)], 1)[None], place)
    anchors = torch.cat([place[:, :2] - 4, place[:, :2] + 4], 1)
    theirs = SimpleNamespace(
        center_sampling_radius=1.5,
        head=SimpleNamespace(compute_loss=lambda targets, outputs, anchors, matched: matched),
    )
    (matched,) = FCOS.compute_loss(theirs, [{"boxes": corners}], {}, [anchors], [64])
    assert torch.equal(torch.where(learns, row, -1)[0], matched)
    assert 5 < (matched >= 0).sum() < 64


def test_boxes_are_decoded_as_in_torchvision() -> None:
    placed = Placed((4, 6), (32, 48))
    raw = 0.4 * torch.randn(2, 7, 4, 6, generator=torch.Generator().manual_seed(0))
    found = placed(raw)
    middle = found[0, :, 4:6]
    told = raw.flatten(2).transpose(1, 2)
    anchors = torch.cat([middle - 4, middle + 4], 1).expand(2, -1, -1)
    torch.testing.assert_close(found[..., :4], BoxLinearCoder().decode(told[..., :4].exp(), anchors))
    assert middle[[0, 1, 6]].tolist() == [[4, 4], [12, 4], [4, 12]]
    assert torch.equal(found[..., 7:], told[..., 4:])


def test_losses_are_torchvision_s() -> None:
    generator = torch.Generator().manual_seed(0)
    place = places((8, 8))
    middle, away = place[:, :2], 3 + 20 * torch.rand(2, 64, 4, generator=generator)
    corners = torch.cat([middle - away[..., :2], middle + away[..., 2:]], 2)
    logits = torch.randn(2, 64, 4, generator=generator)
    output = torch.cat([corners, place.expand(2, -1, -1), logits], 2)
    targets = torch.cat([target((16, 16, 40, 40, 1, 0), (44, 8, 60, 30, 0, 0)), target()])
    row, learns, counts = assigned(targets, place)
    assert counts.all()
    wanted = torch.zeros(2, 64, 3)
    mine = targets.gather(1, row[..., None].expand(-1, -1, 6))
    wanted[learns] = torch.nn.functional.one_hot(mine[learns][:, 4].long(), 3).float()
    focal = sigmoid_focal_loss(logits[..., 1:], wanted, reduction="sum")
    x, y = place[:, 0].expand(2, -1)[learns], place[:, 1].expand(2, -1)[learns]
    left, top, right, bottom = mine[learns][:, :4].unbind(1)
    left, top, right, bottom = x - left, y - top, right - x, bottom - y
    central = (
        torch.minimum(left, right)
        / torch.maximum(left, right)
        * torch.minimum(top, bottom)
        / torch.maximum(top, bottom)
    ).sqrt()
    iou = generalized_box_iou_loss(corners[learns], mine[learns][:, :4], reduction="none")
    centre = torch.nn.functional.binary_cross_entropy_with_logits(logits[..., 0][learns], central, reduction="sum")
    expected = torch.stack([focal, (central * iou).sum(), centre, central.sum(), learns.sum().float()])
    torch.testing.assert_close(summed(output, targets), expected)
    assert mean_of(expected) == pytest.approx(
        float(focal / learns.sum() + (central * iou).sum() / central.sum() + centre / learns.sum()), rel=1e-5
    )


def scene(seed: int, images: int = 12, classes: int = 3, crowds: bool = True):
    """Objects, and answers that are near some of them."""
    rng = np.random.default_rng(seed)
    targets, found = np.zeros((images, 6, 6), np.float32), []
    targets[..., 4] = -1
    for number in range(images):
        count = int(rng.integers(0, 7))
        low, side = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 40, (count, 2))
        targets[number, :count] = np.concatenate(
            [low, low + side, rng.integers(0, classes, (count, 1)), rng.random((count, 1)) < 0.15 * crowds], 1
        )
        near = np.repeat(targets[number, :count], 4, 0)
        near[:, :4] += rng.normal(0, 3, (len(near), 4))
        near[:, 2:4] = np.maximum(near[:, 2:4], near[:, :2] + 1)
        near[:, 5] = np.where(rng.random(len(near)) < 0.8, near[:, 4], rng.integers(0, classes, len(near)))
        near[:, 4] = rng.random(len(near))
        found.append(near.astype(np.float32))
    return found, targets


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_that_of_pycocotools(seed, capsys) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    found, targets = scene(seed)
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(len(targets))], "categories": [{"id": k} for k in range(3)],
        "annotations": [
            {"image_id": number, "category_id": int(one[4]), "iscrowd": int(one[5]),
             "bbox": [*one[:2].tolist(), *(one[2:4] - one[:2]).tolist()], "area": float((one[2:4] - one[:2]).prod())}
            for number, rows in enumerate(targets) for one in rows if one[4] >= 0
        ],
    }  # fmt: skip
    for number, one in enumerate(truth.dataset["annotations"], 1):
        one["id"] = number
    truth.createIndex()
    said = truth.loadRes([
        {"image_id": number, "category_id": int(one[5]), "bbox": [*one[:2].tolist(), *(one[2:4] - one[:2]).tolist()],
         "score": float(one[4])}
        for number, rows in enumerate(found) for one in rows
    ])  # fmt: skip
    judge = COCOeval(truth, said, "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    capsys.readouterr()
    ours = average_precision(found, targets, 3)
    assert [ours["map"], ours["map_50"], ours["map_75"], ours["recall_100"]] == pytest.approx(
        [judge.stats[0], judge.stats[1], judge.stats[2], judge.stats[8]], abs=1e-6
    )
    assert 0.05 < ours["map"] < 0.95
    for number in range(3):
        assert ours["ap"][number] == pytest.approx(judge.eval["precision"][:, :, number, 0, -1].mean(), abs=1e-6)


def test_precision_of_nothing_and_of_everything() -> None:
    _, targets = scene(0, crowds=False)
    whole = [np.concatenate([rows[:, :4], np.ones((len(rows), 1)), rows[:, 4:5]], 1).astype(np.float32)[rows[:, 4] >= 0]
             for rows in targets]  # fmt: skip
    assert average_precision(whole, targets, 3)["map"] == pytest.approx(1)
    none = average_precision([np.zeros((0, 6), np.float32) for _ in targets], targets, 4)
    assert none["map"] == 0
    assert none["ap"][3] is None, "nothing is of this class"


def test_the_scorer_keeps_what_an_image_at_a_time_would_give(data) -> None:
    network = built(data).eval()
    scorer = data.task.scorer(len(data.validation), torch.device("cpu"))
    with torch.no_grad():
        for rows in torch.arange(len(data.validation)).split(5):
            part = data.validation[rows]
            scorer.add(network(data.task.inputs(part.images)), part.labels, rows)
        score, loss = scorer.result()
        outputs = network(data.task.inputs(data.validation.images))
    found = []
    for one in candidates(outputs, data.task.size, 300):
        kept = ops.batched_nms(one[:, :4], one[:, 4], one[:, 5], 0.6)[:100]
        found.append(one[kept].numpy())
    assert score == average_precision(found, data.validation.labels.numpy(), 2)["map"]
    assert loss == pytest.approx(float(data.task.criterion(outputs.device)(outputs, data.validation.labels)), rel=1e-4)
    assert scorer.figures()["objects"] == [10, 10]


def test_an_export_finds_the_same_boxes(data, monkeypatch) -> None:
    for name, value in {"IMAGE_SIZE": data.task.size, "NMS": 0.5}.items():
        monkeypatch.setattr(box_answer, name, value)
    output = built(data).eval()(data.task.inputs(data.validation.images[:1])).detach()
    output[..., :2] -= 3
    output[..., 2:4] += 3
    output[..., 8:] += 4 * torch.randn(output[..., 8:].shape, generator=torch.Generator().manual_seed(0))
    one = candidates(output, data.task.size, 10**6)[0]
    one = one[one[:, 4] >= 0.3]
    kept = ops.batched_nms(one[:, :4], one[:, 4], one[:, 5], 0.5)
    assert 5 < len(kept) < len(one)
    found = box_answer.detections(output, 0.3)
    assert [label for label, _, _ in found] == one[kept, 5].long().tolist()
    torch.testing.assert_close(torch.tensor([box for _, _, box in found]), one[kept, :4])


def test_what_a_report_shows(data) -> None:
    """Boxes as they are beside those found; an answer of another class, or beside the object, is one too many."""
    targets = torch.cat([target((0, 0, 16, 16, 1, 0), (20, 20, 30, 30, 0, 0)), target()])
    place = places((2, 16)).expand(2, -1, -1)
    corners = torch.tensor([[0, 1, 16, 16], [20, 20, 30, 30], [0, 20, 8, 30], [16, 0, 30, 8]]).expand(2, -1, -1)
    logits = torch.full((2, 4, 3), -9.0)
    logits[0, 0, [0, 2]] = logits[0, 1, [0, 2]] = logits[1, 2, [0, 1]] = 9  # the second of the wrong class
    output = torch.cat([corners, place, logits], 2)
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    first, second = data.task.show(output, images, targets)
    assert first.said == "1 of 2 objects found, 1 too many"
    assert second.said == "0 of 0 objects found, 1 too many"
    assert [name for name, _ in first.pictures] == ["boxes", "found"]
    assert all(picture.shape == (3, 32, 32) and picture.any() for _, picture in first.pictures)
    assert not second.pictures[0][1].any()


def test_presence_hears_objects_but_no_crowds(data) -> None:
    targets = torch.cat([target((0, 0, 4, 4, 1, 0), (0, 0, 9, 9, 0, 1)), target()])
    assert data.task.presence(targets).tolist() == [[0, 1], [0, 0]]


def test_the_head_is_drawn_apart_and_counted(data) -> None:
    one, other = built(data, "se"), built(data, "none")
    for name, value in one.head.state_dict().items():
        assert torch.equal(value, other.head.state_dict()[name]), name
    head = sum(p.numel() for p in one.head.parameters())
    assert cost(one, 32).parameters == head + sum(p.numel() for p in one.body.parameters())
    assert isinstance(one.head, Head)
    assert one(torch.randn(1, 3, 32, 32)).shape == (1, 16**2 + 8**2, 8 + 2)


@pytest.mark.parametrize("kind", ["se", "enc_module"])
def test_it_learns(data, kind) -> None:
    network = built(data, kind)
    before = {name: value.clone() for name, value in network.named_parameters()}
    proxy = ProxySettings(rungs=[1, 30], device="cpu", **data.task.recipe | {"batch_size": 8})
    found = train(network, data, proxy, seed=0)
    assert found.outcome is Outcome.COMPLETE
    assert found.rungs[-1].figures["map_50"] > 0.5
    assert found.rungs[-1].score == found.rungs[-1].figures["map"] > 0.2
    assert not [name for name, value in network.named_parameters() if torch.equal(value, before[name])]


def test_images_and_boxes_go_the_same_way(data) -> None:
    batch = data.train[torch.arange(8)]
    assert isinstance(batch, TensorSet)
    inputs, targets = data.task.prepare(batch, torch.Generator().manual_seed(0))
    assert inputs.shape == (8, 3, 32, 32)
    assert targets.shape == batch.labels.shape
    assert not torch.equal(targets, batch.labels)


def bare(folder: Path) -> Path:
    """Whose validation images show nothing."""
    told = json.loads((boxes(folder) / "val.json").read_text())
    (folder / "val.json").write_text(json.dumps(told | {"annotations": []}))
    return folder


def test_what_does_not_fit_is_refused_in_a_sentence(settings, tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match="the targets of this data set are no labels"):
        tasks.load(tasks.TaskSettings(), settings)
    with pytest.raises(InputError, match="needs boxes around the objects of every image"):
        tasks.load(TASK, DataSettings(image_size=8))
    with pytest.raises(DataError, match="no metric 'auroc' for detection"):
        tasks.load(TASK, settings.changed(metric="auroc"))
    with pytest.raises(InputError, match="none of the 10 validation images shows an object"):
        tasks.load(TASK, DataSettings(dataset="coco", path=str(bare(tmp_path)), image_size=32))
    with pytest.raises(DataError, match="moves pixels without their boxes"):
        tasks.load(TASK, settings.changed(augment="trivial"))
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError, match=r'faster_coco_eval, .* pip install "chattn-nas\[detection\]"'):
        tasks.load(TASK, settings.changed(path="nowhere"))
