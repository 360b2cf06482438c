"""Data of your own: a function that gives arrays as an .npz holds them, a torch data set, or data sets by part.

python docs/examples/own_data.py
"""

# %% Called with data.options. Without a validation part one is split off; a test part is for the verdict.
from typing import Any

import numpy as np

from chattn_nas import Spec, search


def bars(images: int = 240) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = {}
    for part, count in (("train", images), ("test", images // 3)):
        labels = np.arange(count) % 2
        pictures = rng.integers(0, 120, (count, 8, 12), dtype=np.uint8)
        for picture, label in zip(pictures, labels):
            if label:
                picture[:, rng.integers(12)] = 255
            else:
                picture[rng.integers(8)] = 255
        found |= {f"x_{part}": pictures, f"y_{part}": labels}
    return found | {"classes": np.array(["lying", "standing"])}


# %% Images wider than high: image_size is [height, width].
SPEC = {
    "name": "own-data",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "own_data:bars", "options": {"images": 300}, "image_size": [8, 12]},
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [2], "batch_size": 32, "device": "cpu"},
    "search": {"trials": 5, "workers": 0},
}

# %% What it holds is kept with the study: other content is refused, not compared.
if __name__ == "__main__":
    print(search(Spec.from_dict(SPEC), progress=False).best())
