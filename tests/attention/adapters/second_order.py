"""How the official EncNet, GSoP, BAT, DIANet, SoCA modules, and iSQRT-COV's head, are written with ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from timm.models.resnet import Bottleneck
from torch import nn
from torch.nn import functional as F

from chattn_nas.attention.bilinear import BilinearAttention
from chattn_nas.attention.covariance import covariance, newton_schulz
from chattn_nas.attention.dia import DIA
from chattn_nas.attention.enc import Enc
from chattn_nas.attention.enc_module import EncModule
from chattn_nas.attention.encoding import Encoding
from chattn_nas.attention.gsop import GSoP
from chattn_nas.attention.soca import SoCA
from chattn_nas.network.head import CovariancePool

_spec = importlib.util.spec_from_file_location("_squeeze_gate", Path(__file__).with_name("squeeze_gate.py"))
_squeeze_gate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_squeeze_gate)
_layers, _inside, _residual = _squeeze_gate._layers, _squeeze_gate._inside, _squeeze_gate._residual


def _norm(ours, official):
    return {f"{ours}.{kind}": f"{official}.{kind}"
            for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}  # fmt: skip


def _encoding(ours, official):
    return {f"{ours}.{kind}": f"{official}.{kind}" for kind in ("codewords", "scale")}


def encoding_layer(config, tensors):
    return Encoding(config["D"], config["K"]), {name: name for name in ("codewords", "scale")}


def enc_layer(config, tensors):
    module = Enc(config["channel"], codewords=config["K"], reduction=config["reduction"])
    names = _layers("reduce", "fc.0") | _norm("norm", "fc.1") | _encoding("encoding", "fc.3")
    return module, names | _layers("expand", "fc.6")


class EncBasicBlock(nn.Module):
    """Two convolutions, attention, and a shortcut with bias and without norm."""

    def __init__(self, inside, outside, stride, attention):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.se = attention
        self.residual_layer = nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.se(y) + self.residual_layer(x))


def enc_block(config, tensors):
    inner, names = enc_layer({**config, "channel": config["planes"]}, tensors)
    block = EncBasicBlock(config["inplanes"], config["planes"], config["stride"], inner)
    names = _inside(names, "se", "se") | {f"conv{i}.weight": f"conv{i}.weight" for i in (1, 2)}
    names |= _norm("bn1", "bn1") | _norm("bn2", "bn2")
    return block, names | _layers("residual_layer", "residual_layer")


class WithLogits(nn.Module):
    """EncModule, whose auxiliary logits are told beside its map."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.logits = []
        module.head.register_forward_hook(lambda _m, _i, logits: self.logits.append(logits))

    def forward(self, x):
        output = self.module(x)
        if not self.logits:
            self.module.se_logits(x)
        return {"output": output, "se_logits": self.logits.pop()}


def encnet(config, tensors):
    module = EncModule(config["in_channels"], num_classes=config["nclass"], codewords=config["ncodes"])
    names = {"project.weight": "encoding.0.weight"} | _norm("norm", "encoding.1")
    names |= _encoding("encoding", "encoding.3") | _norm("code_norm", "encoding.4")
    names |= _layers("gate", "fc.0") | _layers("head", "selayer")
    return WithLogits(module), {f"module.{ours}": official for ours, official in names.items()}


def gsop(config, tensors):
    module = GSoP(config["C"], dim=config["att_dim"], downsample=config.get("dr_stride", 1))
    names = _layers("reduce", "conv_for_DR") | _norm("norm", "bn_for_DR") | _norm("row_norm", "row_bn")
    return module, names | _layers("row_conv", "row_conv_group") | _layers("expand", "fc_adapt_channels")


def gsop_block(config, tensors):
    block, names, channels = _residual(tensors, config.get("stride", 1))
    stride = config.get("dr_stride", 2 if config["planes"] <= 64 else 1)
    block.se, inner = gsop({"C": channels, "att_dim": config["att_dim"], "dr_stride": stride}, tensors)
    return block, names | {f"se.{ours}": official for ours, official in inner.items()}


def bat(config, tensors):
    channels, m = config["inChannels"], config["mid"]
    module = BilinearAttention(channels, reduction=channels // m)
    names = {}
    for ours, number in (("reduce", 1), ("outer", 2), ("inner", 3)):
        names |= _layers(ours, f"dimReduceLayer{number}.conv.conv")
        names |= _norm(f"{ours}_norm", f"dimReduceLayer{number}.conv.bn")
    return module, names


def _cell(channels, reduction=4):
    names = {}
    for ours, official in (("of_input", "w_ih"), ("of_hidden", "w_hh")):
        for layer in (0, 2):
            names |= _layers(f"{ours}.{layer}", f"lstm.{official}.0.seq.{layer}")
    return DIA(channels, reduction=reduction), names


class Steps(nn.Module):
    """A cell over pooled features (T, B, C)."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, sequence):
        state, outputs, cells = None, [], []
        for z in sequence:
            state = self.cell.step(z, state)
            outputs.append(state[0])
            cells.append(state[1])
        return {"output": torch.stack(outputs), "inter.cell_states": torch.stack(cells)}


def dia_cell(config, tensors):
    cell, names = _cell(config["input_size"], config["reduction"])
    return Steps(cell), {f"cell.{ours}": official for ours, official in names.items()}


class DiaStage(nn.Module):
    """Blocks whose branches are gated by one cell."""

    def __init__(self, blocks, cell):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.cell = cell

    def forward(self, x):
        state = None
        for block in self.blocks:
            branch = block.act2(block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x))))))
            gated, state = self.cell(block.bn3(block.conv3(branch)), state)
            x = F.relu(gated + x)
        return x


class Toy(nn.Module):
    """Blocks without parameters, as the vector's notes describe them, gated by one cell."""

    def __init__(self, cell, config):
        super().__init__()
        self.cell = cell
        self.blocks = config["blocks"]
        self.after = F.relu if config.get("relu_after_add", False) else (lambda x: x)

    def forward(self, x):
        state = None
        for k in range(self.blocks):
            gated, state = self.cell(torch.tanh(x * (1 + 0.3 * k)) + 0.1 * k, state)
            x = self.after(gated + x)
        return x


def dia_stage(config, tensors):
    cell, names = _cell(config["channels"])
    if "planes" not in config:
        return Toy(cell, config), {f"cell.{ours}": f"att.{official}" for ours, official in names.items()}
    names = {f"cell.{ours}": official for ours, official in names.items()}
    blocks = [Bottleneck(config["channels"], config["planes"]) for _ in range(config["blocks"])]
    for index in range(config["blocks"]):
        own = {f"conv{i}.weight": f"conv{i}.weight" for i in (1, 2, 3)}
        for i in (1, 2, 3):
            own |= _norm(f"bn{i}", f"bn{i}")
        names |= {f"blocks.{index}.{ours}": f"ModuleList.{index}.{other}" for ours, other in own.items()}
    return DiaStage(blocks, cell), names


def soca(config, tensors):
    module = SoCA(config["channel"], reduction=config["reduction"], iterations=config.get("iterations", 5))
    return module, _layers("reduce", "conv_du.0") | _layers("expand", "conv_du.2")


class Root(nn.Module):
    """The covariance's root as the official code gives it."""

    def __init__(self, iterations):
        super().__init__()
        self.iterations = iterations

    def forward(self, x):
        s = covariance(x)
        trace = s.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        return {"output": newton_schulz(s / trace, self.iterations)[0] * trace.sqrt(), "inter.cov": s}


def cov_sqrtm(config, tensors):
    return Root(config["iterations"]), {}


class LSRAG(nn.Module):
    """SAN's group: residual blocks of two convolutions, attention behind the last, a convolution, plus the input."""

    def __init__(self, channels, blocks, attention):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 1, 1))
            for _ in range(blocks)
        )
        self.soca = attention
        self.last = nn.Conv2d(channels, channels, 3, 1, 1)
        self.unused = {"gamma"}

    def forward(self, x):
        y = x
        for block in self.blocks:
            y = y + block(y)
        return self.last(self.soca(y)) + x


def soca_block(config, tensors):
    inner, names = soca({"channel": config["n_feat"], "reduction": config["reduction"]}, tensors)
    module = LSRAG(config["n_feat"], config["n_resblocks"], inner)
    names = _inside(names, "soca", "soca") | _layers("last", "conv_last")
    for index in range(config["n_resblocks"]):
        for layer in (0, 2):
            names |= _layers(f"blocks.{index}.{layer}", f"rcab.{index}.conv_first.{layer}")
    return module, names


def mpncov_head(config, tensors):
    module = CovariancePool(config["input_dim"], dim=config["dimension_reduction"], iterations=config["iterNum"])
    return Column(module), {f"pool.{ours}": official for ours, official in (
        {"reduce.weight": "conv_dr_block.0.weight"} | _norm("norm", "conv_dr_block.1")).items()}  # fmt: skip


class Column(nn.Module):
    """The head with the last axis that the official code gives it."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        return self.pool(x)[:, :, None]


ADAPTERS = {
    adapter.__name__: adapter
    for adapter in (
        encoding_layer, enc_layer, enc_block, encnet, gsop, gsop_block, bat, dia_cell, dia_stage, soca, cov_sqrtm,
        soca_block, mpncov_head,
    )
}  # fmt: skip
