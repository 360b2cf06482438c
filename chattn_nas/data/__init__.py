"""Data sets: read, checked and cached once, split, and handed on as uint8 tensors; batched augmentation."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.data._augment import Normalize as Normalize
    from chattn_nas.data._augment import augment as augment
    from chattn_nas.data._augment import draw_moves as draw_moves
    from chattn_nas.data._augment import moved as moved
    from chattn_nas.data._augment import moved_boxes as moved_boxes
    from chattn_nas.data._summary import majority as majority
    from chattn_nas.data._summary import summary as summary
    from chattn_nas.data.description import Description as Description
    from chattn_nas.data.description import differences as differences
    from chattn_nas.data.load import describe as describe
    from chattn_nas.data.load import divide as divide
    from chattn_nas.data.load import has_test as has_test
    from chattn_nas.data.load import load_data as load_data
    from chattn_nas.data.load import load_test as load_test
    from chattn_nas.data.load import require_test as require_test
    from chattn_nas.data.sample import sample_batch as sample_batch
    from chattn_nas.data.settings import DataSettings as DataSettings
    from chattn_nas.data.tensors import Augmentation as Augmentation
    from chattn_nas.data.tensors import Data as Data
    from chattn_nas.data.tensors import Images as Images
    from chattn_nas.data.tensors import ImageSet as ImageSet
    from chattn_nas.data.tensors import MappedSet as MappedSet
    from chattn_nas.data.tensors import TensorSet as TensorSet
    from chattn_nas.data.tensors import joined as joined

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._augment": "Normalize augment draw_moves moved moved_boxes",
        ".description": "Description differences",
        ".load": "describe divide has_test load_data load_test require_test",
        ".sample": "sample_batch",
        ".settings": "DataSettings",
        "._summary": "majority summary",
        ".tensors": "Augmentation Data Images ImageSet MappedSet TensorSet joined",
    },
)
