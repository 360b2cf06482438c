"""How the official modules that look at positions too, and the blocks around them, are written with ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import nn

from chattn_nas.attention.bam import BAM
from chattn_nas.attention.cbam import CBAM
from chattn_nas.attention.channel_cbam import ChannelCBAM
from chattn_nas.attention.coordinate import Coordinate
from chattn_nas.attention.ema import EMA
from chattn_nas.attention.gather_excite import GatherExcite
from chattn_nas.attention.mca import MCA
from chattn_nas.attention.ortho import Ortho
from chattn_nas.attention.plane_gate import PlaneGate
from chattn_nas.attention.scsa import SCSA
from chattn_nas.attention.scse import SCSE
from chattn_nas.attention.sge import SGE
from chattn_nas.attention.shuffle import ShuffleAttention
from chattn_nas.attention.simam import SimAM
from chattn_nas.attention.triplet import Triplet

_spec = importlib.util.spec_from_file_location("_squeeze_gate", Path(__file__).with_name("squeeze_gate.py"))
_squeeze_gate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_squeeze_gate)
_layers, _inside, _residual = _squeeze_gate._layers, _squeeze_gate._inside, _squeeze_gate._residual

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _norm(ours, official):
    return _layers(ours, official) | {f"{ours}.{kind}": f"{official}.{kind}" for kind in STATISTICS}


def _plane(ours, official):
    return {f"{ours}.conv.weight": f"{official}.conv.weight"} | _norm(f"{ours}.norm", f"{official}.bn")


def cbam_channel(config, tensors):
    pools = "+".join(config.get("pool_types", ["avg", "max"]))
    module = ChannelCBAM(config["gate_channels"], reduction=config["reduction_ratio"], pools=pools)
    return module, _layers("reduce", "mlp.1") | _layers("expand", "mlp.3")


class OfPixels(nn.Module):
    """The second half of CBAM alone."""

    def __init__(self, kernel_size):
        super().__init__()
        self.gate = PlaneGate(kernel_size)

    def forward(self, x):
        return x * self.gate(x, 1)[:, None]


def cbam_spatial(config, tensors):
    return OfPixels(tensors["param.spatial.conv.weight"].shape[-1]), _plane("gate", "spatial")


def cbam(config, tensors):
    pools = "+".join(config.get("pool_types", ["avg", "max"]))
    if config.get("no_spatial"):
        module, names = cbam_channel(config, tensors)
        return module, {ours: f"ChannelGate.{other}" for ours, other in names.items()}
    kernel = tensors["param.SpatialGate.spatial.conv.weight"].shape[-1]
    module = CBAM(config["gate_channels"], reduction=config["reduction_ratio"], pools=pools, kernel_size=kernel)
    names = _layers("channel.reduce", "ChannelGate.mlp.1") | _layers("channel.expand", "ChannelGate.mlp.3")
    return module, names | _plane("spatial", "SpatialGate.spatial")


def cbam_block(config, tensors):
    block, names, channels = _residual(tensors, config.get("stride", 1))
    inner = {name.removeprefix("param.cbam."): tensor for name, tensor in tensors.items() if ".cbam." in name}
    inner = {name if name.startswith("buffer") else f"param.{name}": tensor for name, tensor in inner.items()}
    block.se, own = cbam({"gate_channels": channels, **config}, inner)
    return block, names | _inside(own, "se", "cbam")


def bam(config, tensors):
    layers, convs = config["num_layers"], config["dilation_conv_num"]
    module = BAM(
        config["gate_channel"],
        reduction=config["reduction_ratio"],
        dilation=config["dilation_val"],
        layers=layers,
        dilated_convs=convs,
    )
    channel, spatial = "channel_att.gate_c.gate_c", "spatial_att.gate_s.gate_s"
    names = _layers(f"channel.{3 * layers}", f"{channel}_fc_final")
    for i in range(layers):
        names |= _layers(f"channel.{3 * i}", f"{channel}_fc_{i}")
        names |= _norm(f"channel.{3 * i + 1}", f"{channel}_bn_{i + 1}")
    names |= _layers("spatial.0", f"{spatial}_conv_reduce0") | _norm("spatial.1", f"{spatial}_bn_reduce0")
    for i in range(convs):
        names |= _layers(f"spatial.{3 * i + 3}", f"{spatial}_conv_di_{i}")
        names |= _norm(f"spatial.{3 * i + 4}", f"{spatial}_bn_di_{i}")
    return module, names | _layers(f"spatial.{3 * convs + 3}", f"{spatial}_conv_final")


def coordatt(config, tensors):
    names = _layers("reduce", "conv1") | _norm("norm", "bn1") | _layers("rows", "conv_h") | _layers("columns", "conv_w")
    return Coordinate(config["inp"], reduction=config["reduction"]), names


def simam(config, tensors):
    return SimAM(config["channels"], epsilon=config["e_lambda"]), {}


def simam_block(config, tensors):
    given = {name.replace("conv2.0.", "conv2."): tensor for name, tensor in tensors.items()}
    block, names, _ = _residual(given, config.get("stride", 1))
    block.conv2 = nn.Sequential(block.conv2, SimAM(block.conv2.out_channels, epsilon=config["e_lambda"]))
    del names["conv2.weight"]
    return block, names | {"conv2.0.weight": "conv2.0.weight"}


def triplet(config, tensors):
    module = Triplet(24, kernel_size=config["kernel_size"], spatial=not config["no_spatial"])
    planes = ("cw", "hc") if config["no_spatial"] else ("cw", "hc", "hw")
    return module, {k: v for plane in planes for k, v in _plane(plane, f"{plane}.conv").items()}


def ema(config, tensors):
    names = _layers("along", "conv1x1") | _layers("around", "conv3x3") | _layers("norm", "gn")
    return EMA(config["channels"], groups=config["factor"]), names


def sge(config, tensors):
    return SGE(config["channels"], groups=config["groups"]), {"weight": "weight", "bias": "bias"}


def sge_block(config, tensors):
    block, names, channels = _residual(tensors, config.get("stride", 1))
    block.se, inner = sge({"channels": channels, **config}, tensors)
    return block, names | _inside(inner, "se", "sge")


def shuffle_attention(config, tensors):
    names = {
        "channel_weight": "cweight", "channel_bias": "cbias", "spatial_weight": "sweight", "spatial_bias": "sbias",
    }  # fmt: skip
    return ShuffleAttention(config["channel"], groups=config["groups"]), names | _layers("norm", "gn")


ORTHO = {
    "reduce.weight": "_excitation.0.weight",
    "expand.weight": "_excitation.2.weight",
    "filters": "F_C_A.constant_filter",
}


def orthonet(config, tensors):
    height = config["height"]
    return Ortho(config["channel"], feature_size=(height, height)), ORTHO


def _convolutions(ours, official):
    """Of a bottleneck of timm: names of its convolutions and norms, in the official order of a Sequential."""
    names = {}
    for (conv, norm), (place, index) in zip(ours, official, strict=True):
        names |= {f"{conv}.weight": f"{place}.{index}.weight"} | _norm(norm, f"{place}.{index + 1}")
    return names


def orthonet_block(config, tensors):
    steps = [index for index in (0, 3, 6) if f"param._process.{index}.weight" in tensors]
    plain = [(f"conv{number}", f"bn{number}") for number in range(1, len(steps) + 1)]
    names = _convolutions(plain, [("_process", index) for index in steps])
    block, names = _timm_block(names, config, tensors)
    channels = tensors["buffer.F_C_A.constant_filter"].shape[0]
    block.se = orthonet({"channel": channels, **config}, tensors)[0]
    return block, names | {f"se.{k}": v for k, v in ORTHO.items()}


def orthonet_mod_block(config, tensors):
    names = _convolutions(
        (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")), (("_preprocess", 0), ("_preprocess", 3), ("_scale", 1))
    )
    block, names = _timm_block(names, config, tensors)
    attention = orthonet({"channel": block.conv2.out_channels, **config}, tensors)[0]
    block.bn2 = nn.Sequential(block.bn2, attention)
    names = {name.replace("bn2.", "bn2.0."): other for name, other in names.items()}
    return block, names | {f"bn2.1.{k}": v for k, v in ORTHO.items()}


def _timm_block(names, config, tensors):
    """timm's block with the widths of the official one, whose shortcut bears the usual names where there is one."""
    given = {f"param.{ours}": tensors[f"param.{other}"] for ours, other in names.items() if f"param.{other}" in tensors}
    given |= {name: tensor for name, tensor in tensors.items() if name.startswith("param.downsample.")}
    block, own, _ = _residual(given, config.get("stride", 1))
    return block, own | names


def _mlp(module, first, last):
    return _layers("excite.0", first) | _layers("excite.2", last) if len(module.excite) else {}


def gather_excite(config, tensors):
    channels, hidden = config["channels"], config["hidden"]
    module = GatherExcite(
        channels,
        feature_size=config["feat_size"],
        extent=config["extent"],
        gather="learned" if config["extra_params"] else "average+max" if config.get("add_maxpool") else "average",
        mlp=config["use_mlp"],
        reduction=channels // hidden if hidden else 16,
        form="timm",
    )
    names = _mlp(module, "mlp.fc1", "mlp.fc2")
    for step in range(len(module.gather) // 3 + 1 if len(module.gather) else 0):
        names |= {f"gather.{3 * step}.weight": f"gather.conv{step + 1}.weight"}
        names |= _norm(f"gather.{3 * step + 1}", f"gather.norm{step + 1}")
    return module, names


def gather_excite_caffe(config, tensors):
    channels, hidden = config["channels"], config["hidden"]
    module = GatherExcite(
        channels,
        feature_size=config["feat_size"],
        gather="learned" if "param.gather.weight" in tensors else "average",
        mlp=bool(hidden),
        reduction=channels // hidden if hidden else 16,
    )
    names = _mlp(module, "excite_1x1_down", "excite_1x1_up")
    return module, names | {"gather.0.weight": "gather.weight"} | _norm("gather.1", "gather_bn")


def scse(config, tensors):
    names = _layers("reduce", "cSE.fc1") | _layers("expand", "cSE.fc2") | _layers("pixel", "sSE.conv")
    return SCSE(config["num_channels"], reduction=config["reduction_ratio"]), names


def scse_sum(config, tensors):
    names = _layers("reduce", "cSE.1") | _layers("expand", "cSE.3") | _layers("pixel", "sSE.0")
    return SCSE(config["in_channels"], reduction=config["reduction"], combine="sum"), names


def sse(config, tensors):
    return SCSE(config["num_channels"], parts="spatial"), _layers("pixel", "conv")


def cse(config, tensors):
    module = SCSE(config["num_channels"], reduction=config["reduction_ratio"], parts="channel")
    return module, _layers("reduce", "fc1") | _layers("expand", "fc2")


def mca(config, tensors):
    module = MCA(config["inp"], channel=not config["no_spatial"])
    gates = {"rows": "h_cw", "columns": "w_hc"} | ({} if config["no_spatial"] else {"channels": "c_hw"})
    names = {f"{ours}.weight": f"{other}.weight" for ours, other in gates.items()}
    return module, names | {f"{ours}.conv.weight": f"{other}.conv.weight" for ours, other in gates.items()}


def scsa(config, tensors):
    module = SCSA(
        config["dim"],
        window=config["window_size"],
        heads=config["head_num"],
        kernel_sizes="-".join(map(str, config["group_kernel_sizes"])),
        pool=config["down_sample_mode"].removesuffix("_pool"),
        qkv_bias=config["qkv_bias"],
    )
    convs = ("local_dwc", "global_dwc_s", "global_dwc_m", "global_dwc_l")
    names = {k: v for i, conv in enumerate(convs) for k, v in _layers(f"along.{i}", conv).items()}
    for ours, other in (("norm_rows", "norm_h"), ("norm_columns", "norm_w"), ("norm", "norm")):
        names |= _layers(ours, other)
    return module, names | {k: v for name in "qkv" for k, v in _layers(name, name).items()}


ADAPTERS = {
    adapter.__name__: adapter
    for adapter in (
        cbam_channel, cbam_spatial, cbam, cbam_block, bam, coordatt, simam, simam_block, triplet, ema, sge, sge_block,
        shuffle_attention, orthonet, orthonet_block, orthonet_mod_block, gather_excite, gather_excite_caffe, scse,
        scse_sum, sse, cse, mca, scsa,
    )
}  # fmt: skip
