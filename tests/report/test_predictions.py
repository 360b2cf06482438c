"""What the leader answers stands in the report, small, in the words of its task, and only of the leader."""

import json

import pytest
import torch

from chattn_nas import api, tasks
from chattn_nas.data import Augmentation, Data, TensorSet
from chattn_nas.report import write_report
from chattn_nas.report.predictions import read_predictions, write_predictions
from chattn_nas.spec import Spec
from chattn_nas.tasks.segmentation import SegmentationSettings
from chattn_nas.tasks.shown import Shown, coloured, painted
from chattn_nas.tasks.super_resolution import SuperResolutionSettings


def data(images: torch.Tensor, labels: torch.Tensor, **changes) -> Data:
    part = TensorSet(images, labels)
    facts = {"num_classes": 3, "class_names": ("ant", "bee", "cat"), "augmentation": Augmentation()} | changes
    return Data(
        train=part, validation=part, in_chans=images.shape[1], image_size=tuple(images.shape[2:]),
        mean=(0.5,) * images.shape[1], std=(0.25,) * images.shape[1], **facts,
    )  # fmt: skip


def test_a_search_shows_six_images_of_its_leader(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = Spec.from_dict({
        "name": "shown", "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
        "data": {"dataset": "digits", "image_size": 8, "train_limit": 200}, "space": {"all": ["none", "eca"]},
        "proxy": {"rungs": [1], "device": "cpu"}, "search": {"trials": 4, "workers": 0, "sampler": "random"},
    })  # fmt: skip
    run = api.search(spec, progress=False)
    path = run.directory / "predictions.json"
    kept = json.loads(path.read_text())
    assert kept["hash"] == run.best().pick.hash
    assert len(kept["images"]) == 6
    assert all(row["right"] == (" it is " not in row["said"]) for row in kept["images"])
    page = write_report(run.directory, run.study).read_text()
    assert page.count('<img src="data:image/png') == 6
    assert "What it answers" in page
    assert len(page) < 1_500_000
    path.write_text(json.dumps(kept | {"hash": "of another network"}))
    assert "What it answers" not in write_report(run.directory, run.study).read_text()
    kept["images"][0]["pictures"][0]["image"] = 'x" onerror="alert(1)'
    path.write_text(json.dumps(kept))
    assert "onerror" not in write_report(run.directory, run.study).read_text(), "a file of somebody else's is not read"


def test_classes_are_named_right_or_wrong() -> None:
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    task = tasks.task_of(data(images, torch.tensor([0, 1])))
    one, other = task.show(torch.tensor([[9.0, 0, 0], [0, 0, 9]]), images, torch.tensor([0, 1]))
    assert (one.said, one.right, other.said, other.right) == ("ant (100 %)", True, "cat (100 %); it is bee", False)
    presence = torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.uint8)
    several = tasks.task_of(data(images, presence, multilabel=True, metric="average_precision"))
    one, other = several.show(torch.tensor([[1.0, -1, 1], [-1, 1, -1]]), images, presence)
    assert (one.said, one.right, other.said, other.right) == ("ant, cat", True, "bee; it is nothing", False)


def test_masks_stand_side_by_side() -> None:
    images = torch.zeros(2, 3, 6, 9, dtype=torch.uint8)
    masks = torch.ones(2, 6, 9, dtype=torch.uint8)
    masks[:, 3:] = 255
    held = tasks.of(SegmentationSettings(type="segmentation"), data(images, masks))
    logits = torch.zeros(2, 3, 6, 9)
    logits[0, 1] = 1
    one, other = held.task.show(logits, images, masks)
    assert one.said == "100 % of the pixels right; mostly bee"
    assert other.said.startswith("0 %")
    assert [title for title, _ in one.pictures] == ["image", "mask", "answered"]
    assert torch.equal(one.pictures[1][1][:, :3], one.pictures[2][1][:, :3])
    assert (one.pictures[1][1][:, 3:] == 128).all(), "void is grey"
    assert painted(torch.tensor([[0, -1]]), [1, 2, 3]).tolist() == [[[1, 128]], [[2, 128]], [[3, 128]]]


def test_an_enlarged_picture_stands_beside_bicubic() -> None:
    large = torch.randint(256, (2, 3, 24, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.avg_pool2d(large.float(), 2).to(torch.uint8)
    held = tasks.of(
        SuperResolutionSettings(type="super_resolution"), data(images, large, num_classes=0, class_names=())
    )
    shown = held.task.show(held.task.inputs(large), images, large)
    assert [title for title, _ in shown[0].pictures] == ["image", "bicubic", "answered", "wanted"]
    assert torch.equal(shown[0].pictures[2][1], large[0])
    best, bicubic = (float(part.split()[-2]) for part in shown[0].said.split(","))
    assert best > bicubic + 10


def test_pictures_are_kept_small(tmp_path) -> None:
    noise = torch.randint(256, (3, 400, 300), dtype=torch.uint8)
    write_predictions(tmp_path / "x.json", "abc", [Shown((("image", noise), ("other", coloured(noise[None, :1])[0])))])
    assert (tmp_path / "x.json").stat().st_size < 60_000
    assert len(read_predictions(tmp_path / "x.json", "abc")[0]["pictures"]) == 2
    for text in ("", "[]", '{"hash": "abc"}', '{"hash": "abc", "images": [3]}'):
        (tmp_path / "x.json").write_text(text)
        assert read_predictions(tmp_path / "x.json", "abc") == []
    assert read_predictions(tmp_path / "nowhere.json", "abc") == []


@pytest.mark.parametrize("said", ["a <b>", "90.00 % accuracy"])
def test_words_are_text(tmp_path, said) -> None:
    write_predictions(tmp_path / "x.json", "abc", [Shown((), said, None)])
    assert read_predictions(tmp_path / "x.json", "abc") == [{"pictures": [], "said": said, "right": None}]
