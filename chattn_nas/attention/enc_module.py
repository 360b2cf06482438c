"""EncNet's context encoding module: Context Encoding for Semantic Segmentation. Zhang, Dana, Shi, Zhang, Wang, Tyagi,
Agrawal (2018).

    f = relu(BN(W0 x));   e = mean over codewords of relu(BN_K(encoding of f))
    y = relu(x + x * sigmoid(W1 e + b));   auxiliary logits W2 e + b2

See :mod:`.encoding` for the encoding. The auxiliary head learns which classes the image holds (the SE-loss: binary
cross-entropy, added to the training loss with the weight ``se_loss_weight``) and keeps the codewords informative; it
has no part in the output. BN_K normalises per codeword. Parameters 2 C^2 + (K + 3) C + 3 K, the head's (C + 1) classes
not counted since only training needs it; MACs N (C^2 + 2 K C) + C^2 on N pixels. Official place: once, before the
classifier. Source: ``encoding/models/sseg/encnet.py`` of zhanghang1989/PyTorch-Encoding.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.auxiliary_head import AuxiliaryHead
from chattn_nas.attention.encoding import Encoding
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    pixels = feature_size[0] * feature_size[1]
    return pixels * (channels**2 + 2 * values["codewords"] * channels) + channels**2


class PresenceHead(AuxiliaryHead, nn.Linear):
    """Auxiliary head: which classes does the image hold? Whoever trains adds its loss with ``loss_weight``."""

    def __init__(self, channels: int, num_classes: int, loss_weight: float) -> None:
        super().__init__(channels, num_classes)
        self.loss_weight = loss_weight
        self.requires_grad_(loss_weight > 0)


@register(
    "enc_module",
    title="Context Encoding for Semantic Segmentation (the context encoding module)",
    year=2018,
    paper="arXiv:1803.08904",
    hyperparameters={
        "codewords": Hyperparameter(32, 8, 16, minimum=1),
        "se_loss_weight": Hyperparameter(0.2, 0.0, 0.1, 0.4, minimum=0.0),
    },
    parameters=lambda c, _, v: 2 * c**2 + (v["codewords"] + 3) * c + 3 * v["codewords"],
    macs=_macs,
    blocks="last",
    needs_num_classes=True,
)
class EncModule(nn.Module):
    """Context encoding on maps of shape (B, C, H, W).

    Args:
        channels: C.
        num_classes: Outputs of the auxiliary head.
        codewords: K.
        se_loss_weight: Weight of the auxiliary loss; with 0 the head is never trained.
    """

    def __init__(self, channels: int, *, num_classes: int, codewords: int = 32, se_loss_weight: float = 0.2) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.encoding = Encoding(channels, codewords)
        self.code_norm = nn.BatchNorm1d(codewords)
        self.gate = nn.Linear(channels, channels)
        self.head = PresenceHead(channels, num_classes, se_loss_weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        code = self.code(x)
        if self.training:
            self.head(code)  # seen by whoever trains, through a hook
        gate = self.gate(code).sigmoid().to(x.dtype)
        # relu, but of what it keeps for backward nothing is its output, to which timm's blocks add in place.
        return F.threshold(x + x * gate[:, :, None, None], 0.0, 0.0)

    def code(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the mean code (B, C)."""
        encoded = self.encoding(F.relu(self.norm(self.project(x))))
        return F.relu(self.code_norm(encoded.to(self.code_norm.weight.dtype))).mean(1)

    def se_logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the auxiliary logits (B, num_classes)."""
        logits: Tensor = self.head(self.code(x))
        return logits
