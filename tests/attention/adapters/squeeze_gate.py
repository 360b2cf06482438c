"""How the official se, eca, fca, gct, srm and rcan modules, and the blocks around them, are written with ours."""

from __future__ import annotations

from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

from chattn_nas.attention.eca import ECA
from chattn_nas.attention.fca import FCA, frequency_pairs
from chattn_nas.attention.gct import GCT
from chattn_nas.attention.rcan import RCAN
from chattn_nas.attention.se import SE
from chattn_nas.attention.srm import SRM


def _layers(ours, official):
    """Names of weight, and bias where there is one, of one layer."""
    return {f"{ours}.{kind}": f"{official}.{kind}" for kind in ("weight", "bias")}


def _norm(name):
    return {f"{name}.{kind}": f"{name}.{kind}"
            for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}  # fmt: skip


def se(config, tensors):
    module = SE(config["channel"], reduction=config["reduction"], bias=config.get("bias", False))
    return module, _layers("reduce", "fc.0") | _layers("expand", "fc.2")


def rcan_ca(config, tensors):
    module = RCAN(config["channel"], reduction=config["reduction"])
    return module, _layers("reduce", "conv_du.0") | _layers("expand", "conv_du.2")


def fca(config, tensors):
    size, method = (config["dct_h"], config["dct_w"]), config["freq_sel_method"]
    named = min(size) >= 7 and frequency_pairs(method) == [tuple(pair) for pair in config["freq_7x7"]]
    module = FCA(
        config["channel"],
        feature_size=size,
        # Our named sets never collapse; the official code's collapsed ones are written out.
        frequencies=method if named else [tuple(pair) for pair in config["freq_used"]],
        reduction=config["reduction"],
    )
    return module, _layers("reduce", "fc.0") | _layers("expand", "fc.2") | {"basis": "dct_layer.weight"}


def eca(config, tensors):
    return ECA(config["channel"], kernel_size=config["k_size"]), {"conv.weight": "conv.weight"}


def eca_ns(config, tensors):
    return ECA(config["channel"], kernel_size=config["k_size"], shared=False), {"conv.weight": "conv.weight"}


def gct(config, tensors):
    module = GCT(
        config["num_channels"], mode=config["mode"], after_relu=config["after_relu"], epsilon=config["epsilon"]
    )
    return module, {name: name for name in ("alpha", "beta", "gamma")}


def srm(config, tensors):
    return SRM(config["channel"]), {"cfc": "cfc"} | _norm("bn")


def _residual(tensors, stride=1):
    """timm's block with the widths of the official one, and the names that both give their layers."""
    weights = {name.removeprefix("param."): tensor for name, tensor in tensors.items() if name.startswith("param.")}
    wide = "conv3.weight" in weights
    first, last = weights["conv1.weight"], weights["conv3.weight" if wide else "conv2.weight"]
    downsample = None
    if "downsample.0.weight" in weights:
        conv = nn.Conv2d(first.shape[1], last.shape[0], weights["downsample.0.weight"].shape[-1], stride, bias=False)
        downsample = nn.Sequential(conv, nn.BatchNorm2d(last.shape[0]))
    block = (Bottleneck if wide else BasicBlock)(first.shape[1], first.shape[0], stride=stride, downsample=downsample)
    names = {f"conv{i}.weight": f"conv{i}.weight" for i in (1, 2, 3) if f"conv{i}.weight" in weights}
    for norm in ("bn1", "bn2", "bn3", "downsample.1"):
        names |= _norm(norm) if f"{norm}.weight" in weights else {}
    return block, names | ({"downsample.0.weight": "downsample.0.weight"} if downsample else {}), last.shape[0]


def _inside(names, ours, official):
    return {f"{ours}.{name}": f"{official}.{other}" for name, other in names.items()}


def se_block(config, tensors):
    block, names, channels = _residual(tensors, config["stride"])
    block.se, inner = se({"channel": channels, **config}, tensors)
    return block, names | _inside(inner, "se", "se")


def eca_block(config, tensors):
    block, names, channels = _residual(tensors, config.get("stride", 1))
    block.se, inner = eca({"channel": channels, **config}, tensors)
    return block, names | _inside(inner, "se", "eca")


def srm_block(config, tensors):
    block, names, channels = _residual(tensors, config.get("stride", 1))
    block.se, inner = srm({"channel": channels}, tensors)
    return block, names | _inside(inner, "se", "rclb")


def gct_block(config, tensors):
    inside, middle, outside = config["in_channels"], config["bottleneck_channels"], config["out_channels"]
    in_first, in_second = (config["stride"], 1) if config["stride_in_1x1"] else (1, config["stride"])

    def gated(into, out, kernel, stride):
        conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False)
        return GCT(into), conv

    shortcut = "param.downsample.1.weight" in tensors
    block = Bottleneck(
        inside,
        middle,
        downsample=nn.Sequential(*gated(inside, outside, 1, config["stride"]), nn.BatchNorm2d(outside))
        if shortcut
        else None,
    )
    block.conv1 = nn.Sequential(*gated(inside, middle, 1, in_first))
    block.conv2 = nn.Sequential(*gated(middle, middle, 3, in_second))
    block.conv3 = nn.Sequential(*gated(middle, outside, 1, 1))
    names = {}
    for place in ("conv1", "conv2", "conv3", *(["downsample"] if shortcut else [])):
        names |= {f"{place}.{name}": f"{place}.{name}" for name in ("0.alpha", "0.beta", "0.gamma", "1.weight")}
    for norm in ("bn1", "bn2", "bn3", *(["downsample.2"] if shortcut else [])):
        names |= _norm(norm)
    return block, names


class RCAB(nn.Module):
    """RCAN's block: conv, relu, conv, attention, plus the input; no norm, no last relu."""

    def __init__(self, channels, kernel_size, reduction):
        super().__init__()
        convs = (nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2) for _ in range(2))
        self.body = nn.Sequential(next(convs), nn.ReLU(), next(convs), RCAN(channels, reduction=reduction))

    def forward(self, x):
        return x + self.body(x)


def rcan_block(config, tensors):
    module = RCAB(config["n_feat"], config["kernel_size"], config["reduction"])
    inner = _layers("reduce", "conv_du.0") | _layers("expand", "conv_du.2")
    return module, _layers("body.0", "body.0") | _layers("body.2", "body.2") | _inside(inner, "body.3", "body.3")


ADAPTERS = {
    adapter.__name__: adapter
    for adapter in (
        se, rcan_ca, fca, eca, eca_ns, gct, srm, se_block, eca_block, srm_block, gct_block, rcan_block,
    )
}  # fmt: skip

NOT_OURS = {
    "srm_seed_variant": "the third-party variant of SRM without eps below the root, which is not the authors' module",
}
