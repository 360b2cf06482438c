"""What a backbone is told before a search when attention in it would not learn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chattn_nas.errors import BackboneError
from chattn_nas.network.survey import check_backbone
from chattn_nas.space import Backbone

sys.path.insert(0, str(Path(__file__).parent))


def test_a_backbone_that_freezes_attention_itself_is_told_so():
    with pytest.raises(BackboneError, match=r"freezes 2 of 3 attentions itself \(layer1.*name the parts in freeze"):
        check_backbone(Backbone("own_backbones:freezes_itself"), image_size=16)
