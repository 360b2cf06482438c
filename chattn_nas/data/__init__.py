"""Data sets as uint8 tensors on the training device, and batched augmentation there."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.data._augment import Normalize as Normalize
    from chattn_nas.data._augment import augment as augment
    from chattn_nas.data.lazy import LazyData as LazyData
    from chattn_nas.data.lazy import load_lazy as load_lazy
    from chattn_nas.data.lazy import load_lazy_test as load_lazy_test
    from chattn_nas.data.load import load_data as load_data
    from chattn_nas.data.load import load_test as load_test
    from chattn_nas.data.settings import DataSettings as DataSettings
    from chattn_nas.data.tensors import Augmentation as Augmentation
    from chattn_nas.data.tensors import Data as Data
    from chattn_nas.data.tensors import TensorSet as TensorSet

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._augment": "Normalize augment",
        ".lazy": "LazyData load_lazy load_lazy_test",
        ".load": "load_data load_test",
        ".settings": "DataSettings",
        ".tensors": "Augmentation Data TensorSet",
    },
)
