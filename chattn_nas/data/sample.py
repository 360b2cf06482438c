"""A fixed batch of training images, for measurements on a network before it is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from chattn_nas.data._augment import Normalize
from chattn_nas.data.tensors import Data
from chattn_nas.image_size import pixels

#: Images at most and at least, and pixels of all together.
MOST, LEAST, PIXELS = 64, 8, 2**16


def sample_batch(data: Data) -> Tensor:
    """Normalised training images (B, C, H, W) on the CPU, spread over the set, the same in every call.

    There are 64 for images up to 32 pixels a side, down to 8 for larger ones: enough for a mean over a map.
    """
    total = len(data.train)
    count = min(total, max(LEAST, min(MOST, PIXELS // pixels(data.image_size))))
    index = torch.arange(count) * total // count
    images = data.train[index.to(data.train.labels.device)].images.cpu()
    return Normalize(data, "cpu")(images)
