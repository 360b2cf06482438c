"""Small sets of images with boxes on disk: COCO's JSON and YOLO's texts."""

import json

from pictures import noise
from PIL import Image

WIDTH, HEIGHT = 40, 20
#: Of every image: left, top, width, height in pixels, and the category.
BOXES = [[(4, 2, 10, 8, 1), (20, 10, 20, 10, 2)], [(0, 0, 40, 20, 2)], [], [(30.5, 3.5, 4, 6, 1)]]


def image(path, seed) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, WIDTH, HEIGHT)).save(path)


def coco(root, places="{part}/{name}.png", file="{part}.json", parts=("train", "val", "test"), **changes) -> None:
    """Four images in every part."""
    for place, part in enumerate(parts):
        content = {
            "images": [], "annotations": [],
            "categories": [{"id": 0, "name": "things"}, {"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}],
        }  # fmt: skip
        for number, boxes in enumerate(BOXES):
            name = f"{part}{number}"
            image(root / places.format(part=part, name=name), 10 * place + number)
            content["images"].append({"id": 100 + number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT})
            for *bbox, category in boxes:
                content["annotations"].append(
                    {"id": len(content["annotations"]) + 1, "image_id": 100 + number, "category_id": category,
                     "bbox": bbox, "iscrowd": 0}
                )  # fmt: skip
        for key, change in changes.items():
            change(content[key])
        path = root / file.format(part=part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def yolo(root, images="images/{part}", labels="labels/{part}", parts=("train", "val", "test"), names=True) -> None:
    for place, part in enumerate(parts):
        for number, boxes in enumerate(BOXES):
            image(root / images.format(part=part) / f"{part}{number}.png", 10 * place + number)
            lines = [
                f"{category - 1} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} {w / WIDTH} {h / HEIGHT}"
                for x, y, w, h, category in boxes
            ]
            folder = root / labels.format(part=part)
            folder.mkdir(parents=True, exist_ok=True)
            if lines:
                (folder / f"{part}{number}.txt").write_text("\n".join(lines) + "\n")
    if names:
        (root / "data.yaml").write_text("names: {0: ant, 1: bee}\ntrain: ../images/train\nval: nowhere\n")
