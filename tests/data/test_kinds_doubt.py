"""Sets that look like one task and may be meant for another: init asks instead of taking masks for images."""

from pathlib import Path

import numpy as np
import pytest
from pictures import noise
from PIL import Image

from chattn_nas.errors import DataError
from chattn_nas.spec.draft_source import source_of


def pair(root: Path, image: str, mask: str, mode: str = "L", count: int = 6) -> Path:
    for number in range(count):
        for name, picture in ((image, noise(number, 16, 16)), (mask, np.eye(16, dtype=np.uint8))):
            file = root / name.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).convert("RGB" if name == image else mode).save(file)
    return root


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_folders_of_the_same_names_may_be_images_and_masks(tmp_path, mode) -> None:
    """They were two classes, x and y."""
    pair(tmp_path, "x/{}.png", "y/{}.png", mode)
    with pytest.raises(
        DataError, match=r"x/ and y/ hold files of the same names and sizes, with colours and without: if"
    ):
        source_of(str(tmp_path), tmp_path)
    assert source_of(str(tmp_path), tmp_path, "classification")[0]["dataset"] == "image_folder"


@pytest.mark.parametrize(
    ("image", "mask", "mode"),
    [("a/{}.png", "b/{}.png", "RGB"), ("a/{}.png", "b/1{}.png", "L"), ("a/{}.png", "b/{}_x.png", "L")],
)
def test_two_classes_are_two_classes(tmp_path, image, mask, mode) -> None:
    pair(tmp_path, image, mask, mode)
    assert source_of(str(tmp_path), tmp_path)[1] == "classification"


@pytest.mark.parametrize("folder", ["", "benign/"])
def test_masks_beside_their_images_are_no_images(tmp_path, folder) -> None:
    """A class folder with 1.png and 1_mask.png trained on both."""
    pair(tmp_path, folder + "{}.png", folder + "{}_mask.png")
    pair(tmp_path, "malignant/{}.png", "malignant/{}_mask.png")
    with pytest.raises(DataError, match=r"12 of 24 images are named as masks of others beside them \(.*0_mask\.png\)"):
        source_of(str(tmp_path), tmp_path)
    if folder:
        assert source_of(str(tmp_path), tmp_path, "classification")[1] == "classification"
