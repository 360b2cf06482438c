"""The leading network's answers on a few validation images, stored in the run's directory for the report."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chattn_nas.files import replacing

if TYPE_CHECKING:  # a page is written without torch
    from torch import Tensor

    from chattn_nas.tasks.shown import Shown

#: Pixels of the longer side that are kept at most, and bytes above which a picture is a JPEG.
SIDE, BYTES = 160, 8000
_DATA = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")


def write_predictions(path: Path, network: str, shown: Sequence[Shown]) -> None:
    """Write a network's answers.

    Args:
        path: The file.
        network: Hash of the architecture.
        shown: The answers, one per image.
    """
    rows = [
        {
            "pictures": [{"title": title, "image": _encoded(picture)} for title, picture in one.pictures],
            "said": one.said,
            "right": one.right,
        }
        for one in shown
    ]
    with replacing(path) as partial:
        partial.write_text(json.dumps({"hash": network, "images": rows}), encoding="utf-8")


def read_predictions(path: Path, network: str | None) -> list[dict[str, Any]]:
    """Read a network's answers; empty if there is no file, or one that this package did not write."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["hash"] != network:
            return []
        rows: list[dict[str, Any]] = [
            {"pictures": [{"title": str(one["title"]), "image": str(one["image"])} for one in row["pictures"]],
             "said": str(row["said"]), "right": row["right"] if row["right"] in (True, False) else None}
            for row in kept["images"]
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return rows if all(_DATA.fullmatch(one["image"]) for row in rows for one in row["pictures"]) else []


def _encoded(picture: Tensor) -> str:
    """Encode a uint8 picture (3, H, W) as a data URL, losslessly if it is small."""
    from PIL import Image

    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((SIDE, SIDE))
    content = BytesIO()
    image.save(content, "PNG", optimize=True)
    kind = "png"
    if content.tell() > BYTES:
        content, kind = BytesIO(), "jpeg"
        image.save(content, "JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
