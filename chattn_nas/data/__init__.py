"""Data sets as uint8 tensors on the training device, and batched augmentation there."""

from chattn_nas.data.augment import Normalize, augment
from chattn_nas.data.load import load_data, load_test
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.streams import Streams, load_streams, load_test_stream
from chattn_nas.data.tensors import Augmentation, Data, TensorSet

__all__ = [
    "Augmentation",
    "Data",
    "DataSettings",
    "Normalize",
    "Streams",
    "TensorSet",
    "augment",
    "load_data",
    "load_streams",
    "load_test",
    "load_test_stream",
]
