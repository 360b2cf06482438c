import pytest
import torch

from chattn_nas.data import Augmentation, Data, DataSettings, TensorSet, load_data
from chattn_nas.network import build_network
from chattn_nas.proxy import ProxySettings
from chattn_nas.space import Architecture, Backbone

BACKBONE = Backbone("cifar_resnet8", {"width": 8})


@pytest.fixture(scope="session")
def data() -> Data:
    """Real digits, few of them."""
    return load_data(DataSettings(image_size=8, train_limit=320))


@pytest.fixture(scope="session")
def noise() -> Data:
    """Six images of two classes, for what only counts steps."""
    images = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = TensorSet(images, torch.arange(6) % 2)
    return Data(train=part, validation=part, num_classes=2, in_chans=1, image_size=8, mean=(0.5,), std=(0.3,),
                class_names=("a", "b"), augmentation=Augmentation(1, False))  # fmt: skip


@pytest.fixture
def settings() -> ProxySettings:
    return ProxySettings(rungs=[1, 2], batch_size=64, device="cpu")


@pytest.fixture
def build():
    """A network of one type everywhere."""

    def make(type="se", seed=0, num_classes=10, **values):
        return build_network(
            Architecture.uniform(BACKBONE, type, **values), num_classes=num_classes, in_chans=1, image_size=8, seed=seed
        )

    return make
