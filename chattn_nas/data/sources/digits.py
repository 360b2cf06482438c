"""1,797 handwritten digits of 8x8 pixels (Alpaydin and Kaynak, 1998), inside scikit-learn; every sixth is test."""

from __future__ import annotations

import numpy as np

from chattn_nas.data.pictures import Arrays, Found, Listing, Part
from chattn_nas.data.settings import DataSettings


def find_digits(settings: DataSettings) -> Found:
    """Find the digits, which are always there."""
    return Found(("digits",), _listing)


def _listing() -> Listing:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    test = np.arange(len(bunch.target)) % 6 == 5
    images = (bunch.images * (255 / 16)).round().astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    parts = {
        name: Part(Arrays(images[chosen], "digits"), labels[chosen])
        for name, chosen in (("train", ~test), ("test", test))
    }
    return Listing(parts=parts, class_names=tuple("0123456789"), may_flip=False)
