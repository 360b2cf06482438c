"""Small sets of images with boxes and masks as Pascal VOC has them."""

import numpy as np
from box_sets import BOXES, HEIGHT, WIDTH, image
from PIL import Image

NAMES = {1: "ant", 2: "bee"}


def xml(boxes, size=(WIDTH, HEIGHT), first=1) -> str:
    """The annotation of left, top, width, height, category and perhaps whether it is difficult."""
    objects = "".join(
        f"<object><name>{NAMES[kind]}</name><difficult>{int(any(more))}</difficult><bndbox><xmax>{x + w}</xmax>"
        f"<xmin>{x + first}</xmin><ymin>{y + first}</ymin><ymax>{y + h}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"
        for x, y, w, h, kind, *more in boxes
    )
    width, height = size
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"


def voc(root, parts=("train", "val", "test"), kind="Main", masks=False, **how) -> None:
    """Four images in every part, in folders and lists as VOC has them."""
    for folder in ("Annotations", f"ImageSets/{kind}", "SegmentationClass"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for place, part in enumerate(parts):
        for number, boxes in enumerate(BOXES):
            image(root / "JPEGImages" / f"{part}{number}.png", 10 * place + number)
            (root / "Annotations" / f"{part}{number}.xml").write_text(xml(boxes, **how))
            if masks:
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                mask[:5], mask[10:12] = 1 + number % 2, 255
                Image.fromarray(mask).save(root / "SegmentationClass" / f"{part}{number}.png")
        (root / "ImageSets" / kind / f"{part}.txt").write_text("".join(f"{part}{k}\n" for k in range(len(BOXES))))
