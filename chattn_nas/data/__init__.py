"""Data sets: read, checked and cached once, split, and handed on as uint8 tensors; batched augmentation."""

from chattn_nas.data.augmentation import Normalize, augment
from chattn_nas.data.description import Description, differences
from chattn_nas.data.load import describe, divide, has_test, load_data, load_test
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.tensors import Augmentation, Data, ImageSet, MappedSet, TensorSet, joined

__all__ = [
    "Augmentation",
    "Data",
    "DataSettings",
    "Description",
    "ImageSet",
    "MappedSet",
    "Normalize",
    "TensorSet",
    "augment",
    "describe",
    "differences",
    "divide",
    "has_test",
    "joined",
    "load_data",
    "load_test",
]
