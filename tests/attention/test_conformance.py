"""The battery of chattn_nas.testing.attention on every type that is registered here."""

import pytest

from chattn_nas import attention
from chattn_nas.testing.attention import battery

OURS = [name for name in attention.names() if not name.startswith("timm/")]


@pytest.mark.parametrize("conformance", battery(*OURS), ids=str)
def test_conformance(conformance):
    conformance()


@pytest.mark.slow
@pytest.mark.parametrize("conformance", battery(*OURS, slow=True), ids=str)
def test_slow_conformance(conformance):
    conformance()
