"""Numbers with their noun."""

import pytest

from chattn_nas.plural import plural


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "class", "1 class"), (2, "class", "2 classes"), (2, "box", "2 boxes"), (2, "search", "2 searches"),
        (2, "epoch", "2 epochs"), (0, "image", "0 images"), (1_200, "patch", "1,200 patches"),
    ],
)  # fmt: skip
def test_one_is_one_and_all_others_are_many(number, noun, text) -> None:
    assert plural(number, noun) == text
