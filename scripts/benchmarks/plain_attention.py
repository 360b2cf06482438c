"""Plain statements of every attention's formula, as most code writes them, with the weights of our modules.

What ``attention.py`` in this folder measures ours against; each is checked there to give the same output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """Gate of shape (B, C), written as most code writes it."""
    return x * gate.view(*gate.shape, 1, 1).expand_as(x)


def pooled(x: Tensor) -> Tensor:
    """Global average pooling, (B, C)."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def _se(m: nn.Module, x: Tensor) -> Tensor:
    return gated(x, m.expand(F.relu(m.reduce(pooled(x)))).sigmoid())


def _rcan(m: nn.Module, x: Tensor) -> Tensor:
    z = F.conv2d(F.adaptive_avg_pool2d(x, 1), m.reduce.weight[:, :, None, None], m.reduce.bias)
    return x * F.conv2d(F.relu(z), m.expand.weight[:, :, None, None], m.expand.bias).sigmoid()


def _eca(m: nn.Module, x: Tensor) -> Tensor:
    z = F.adaptive_avg_pool2d(x, 1)
    z = m.conv(z.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
    return x * z.sigmoid().expand_as(x)


def _fca(m: nn.Module, x: Tensor) -> Tensor:
    x7 = x if x.shape[2:] == m.basis.shape[1:] else F.adaptive_avg_pool2d(x, m.basis.shape[1:])
    return gated(x, m.expand(F.relu(m.reduce((x7 * m.basis).sum([2, 3])))).sigmoid())


def _gct(m: nn.Module, x: Tensor) -> Tensor:
    embedding = (x.pow(2).sum((2, 3), keepdim=True) + m.epsilon).pow(0.5) * m.alpha
    norm = m.gamma / (embedding.pow(2).mean(1, keepdim=True) + m.epsilon).pow(0.5)
    return x * (1 + torch.tanh(embedding * norm + m.beta))


def _srm(m: nn.Module, x: Tensor) -> Tensor:
    flat = x.reshape(*x.shape[:2], -1)
    styles = torch.stack((flat.mean(2), (flat.var(2) + m.epsilon).sqrt()), 2)
    return gated(x, m.bn((styles * m.cfc).sum(2)).sigmoid())


def _dia(m: nn.Module, x: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
    h, c = state
    i, f, g, o = (m.of_input(pooled(x)) + m.of_hidden(h)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return gated(x, o.sigmoid() * c.sigmoid())


def _bilinear(m: nn.Module, x: Tensor) -> Tensor:
    p = F.relu(m.reduce_norm(m.reduce(x)))
    width = p.shape[1]
    outer = torch.einsum("bchw,bdhw->bcdhw", p, p)
    q = torch.cat([outer.diagonal(-apart, 1, 2).permute(0, 3, 1, 2) for apart in range(width)], 1)
    inner = F.relu(m.inner_norm(m.inner(F.adaptive_avg_pool2d(q, 1))))
    return x * (inner * F.relu(m.outer_norm(m.outer(q)))).sigmoid()


def encoded(m: nn.Module, x: Tensor) -> Tensor:
    """The encoding layer with all differences written out, (B, N, K, D)."""
    away = x.flatten(2).transpose(1, 2)[:, :, None] - m.codewords
    assigned = (m.scale * away.pow(2).sum(3)).softmax(2)
    return (assigned[..., None] * away).sum(1)


def _enc(m: nn.Module, x: Tensor) -> Tensor:
    code = encoded(m.encoding, F.relu(m.norm(m.reduce(x)))).flatten(1)
    return gated(x, m.expand(F.normalize(code, dim=1, eps=1e-8)).sigmoid())


def _enc_module(m: nn.Module, x: Tensor) -> Tensor:
    code = F.relu(m.code_norm(encoded(m.encoding, F.relu(m.norm(m.project(x)))))).mean(1)
    if m.training:
        m.head(code)
    return F.relu(x + gated(x, m.gate(code).sigmoid()))


def centred(x: Tensor) -> Tensor:
    """Covariance by centred maps, (B, C, C)."""
    x = x.flatten(2)
    x = x - x.mean(2, keepdim=True)
    return x.bmm(x.transpose(1, 2)) / x.shape[2]


def by_matrix(x: Tensor) -> Tensor:
    """Covariance by the N x N centring matrix, (B, C, C)."""
    x, n = x.flatten(2), x.shape[2] * x.shape[3]
    centring = (torch.eye(n, device=x.device, dtype=x.dtype) - 1 / n) / n
    return x.bmm(centring.expand(x.shape[0], n, n)).bmm(x.transpose(1, 2))


def _gsop(m: nn.Module, x: Tensor) -> Tensor:
    u = F.relu(m.norm(m.reduce(F.relu(x))))
    return x * m.expand(m.row_conv(m.row_norm(centred(u)[..., None]))).sigmoid()


def soca(m: nn.Module, x: Tensor, covariance: Callable[[Tensor], Tensor] = centred) -> Tensor:
    """SoCA, the covariance found in one of two ways."""
    s = covariance(x)
    trace = s.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    one = torch.eye(s.shape[1], device=s.device, dtype=s.dtype).expand_as(s)
    y, z = s / trace, one
    for _ in range(m.iterations):
        t = 0.5 * (3 * one - z.bmm(y))
        y, z = y.bmm(t), t.bmm(z)
    return gated(x, m.expand(F.relu(m.reduce((y * trace.sqrt()).mean(1)))).sigmoid())


def _simam(m: nn.Module, x: Tensor) -> Tensor:
    n = x.shape[2] * x.shape[3] - 1
    away = (x - x.mean((2, 3), keepdim=True)).pow(2)
    return x * (away / (4 * (away.sum((2, 3), keepdim=True) / n + m.epsilon)) + 0.5).sigmoid()


def _ortho(m: nn.Module, x: Tensor) -> Tensor:
    small = x if x.shape[2:] == m.filters.shape[1:] else F.adaptive_avg_pool2d(x, m.filters.shape[1:])
    return gated(x, m.expand(F.relu(m.reduce((small * m.filters).sum([2, 3])))).sigmoid())


def _sge(m: nn.Module, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    u = x.reshape(b * m.groups, -1, h, w)
    t = (u * F.adaptive_avg_pool2d(u, 1)).sum(1).view(b * m.groups, -1)
    t = (t - t.mean(1, keepdim=True)) / ((t - t.mean(1, keepdim=True)).std(1, keepdim=True) + m.epsilon)
    t = t.view(b, m.groups, h, w) * m.weight + m.bias
    return (u * t.view(b * m.groups, 1, h, w).sigmoid()).reshape(b, c, h, w)


def _shuffle(m: nn.Module, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    first, second = x.reshape(b * m.groups, -1, h, w).chunk(2, 1)
    k = first.shape[1]
    one, two, three, four = (
        p.view(1, k, 1, 1) for p in (m.channel_weight, m.channel_bias, m.spatial_weight, m.spatial_bias)
    )
    first = first * (one * F.adaptive_avg_pool2d(first, 1) + two).sigmoid()
    second = second * (three * m.norm(second) + four).sigmoid()
    y = torch.cat([first, second], 1).reshape(b, 2, c // 2, h, w)
    return y.permute(0, 2, 1, 3, 4).reshape(b, c, h, w)


def _gather_excite(m: nn.Module, x: Tensor) -> Tensor:
    return x * F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:]).sigmoid()


def _channel_gate(m: nn.Module, x: Tensor) -> Tensor:
    pools = (F.avg_pool2d(x, x.shape[2:]), F.max_pool2d(x, x.shape[2:]))
    return gated(x, sum(m.expand(F.relu(m.reduce(z.flatten(1)))) for z in pools).sigmoid())


def zpool(x: Tensor) -> Tensor:
    """Maximum and mean over dimension 1, as two maps."""
    return torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), 1)


def _cbam(m: nn.Module, x: Tensor) -> Tensor:
    x = _channel_gate(m.channel, x)
    return x * m.spatial.norm(m.spatial.conv(zpool(x))).sigmoid()


def _bam(m: nn.Module, x: Tensor) -> Tensor:
    channel = m.channel(F.avg_pool2d(x, x.shape[2:]).flatten(1))[:, :, None, None].expand_as(x)
    return (1 + (channel * m.spatial(x).expand_as(x)).sigmoid()) * x


def _coordinate(m: nn.Module, x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    rows, columns = F.adaptive_avg_pool2d(x, (h, 1)), F.adaptive_avg_pool2d(x, (1, w)).permute(0, 1, 3, 2)
    f = m.norm(m.reduce(torch.cat([rows, columns], 2)))
    rows, columns = torch.split(f * F.relu6(f + 3) / 6, [h, w], 2)
    return x * m.columns(columns.permute(0, 1, 3, 2)).sigmoid() * m.rows(rows).sigmoid()


def _triplet(m: nn.Module, x: Tensor) -> Tensor:
    def turned(gate: nn.Module, *order: int) -> Tensor:
        y = x.permute(0, *order).contiguous()
        return (y * gate.norm(gate.conv(zpool(y))).sigmoid()).permute(0, *order).contiguous()

    over_pixels = x * m.hw.norm(m.hw.conv(zpool(x))).sigmoid()
    return (over_pixels + turned(m.cw, 2, 1, 3) + turned(m.hc, 3, 2, 1)) / 3


def _ema(m: nn.Module, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    u = x.reshape(b * m.groups, -1, h, w)
    rows, columns = F.adaptive_avg_pool2d(u, (h, 1)), F.adaptive_avg_pool2d(u, (1, w)).permute(0, 1, 3, 2)
    rows, columns = torch.split(m.along(torch.cat([rows, columns], 2)), [h, w], 2)
    one = m.norm(u * rows.sigmoid() * columns.permute(0, 1, 3, 2).sigmoid())
    two = m.around(u)
    weights = [F.adaptive_avg_pool2d(y, 1).flatten(1).softmax(1)[:, None] for y in (one, two)]
    gate = weights[0].bmm(two.flatten(2)) + weights[1].bmm(one.flatten(2))
    return (u * gate.view(-1, 1, h, w).sigmoid()).reshape(b, c, h, w)


def _scse(m: nn.Module, x: Tensor) -> Tensor:
    channel = gated(x, m.expand(F.relu(m.reduce(pooled(x)))).sigmoid())
    return torch.max(channel, x * m.pixel(x).sigmoid())


def _mca(m: nn.Module, x: Tensor) -> Tensor:
    def turned(gate: nn.Module, *order: int) -> Tensor:
        y = x.permute(0, *order).contiguous()  # the gated direction first
        mean, std = F.adaptive_avg_pool2d(y, 1), y.flatten(2).std(2)[:, :, None, None]
        one, two = gate.weight.sigmoid()
        z = (mean + std) / 2 + one * mean + two * std
        z = gate.conv(z.flatten(1)[:, None]).view_as(z)
        return (y * z.sigmoid().expand_as(y)).permute(0, *order).contiguous()

    return (turned(m.channels, 1, 2, 3) + turned(m.rows, 2, 1, 3) + turned(m.columns, 3, 2, 1)) / 3


def _scsa(m: nn.Module, x: Tensor) -> Tensor:
    b, c, h, w = x.shape

    def along(z: Tensor) -> Tensor:
        return torch.cat([conv(part) for conv, part in zip(m.along, torch.split(z, c // 4, 1), strict=True)], 1)

    rows = m.norm_rows(along(x.mean(3))).sigmoid().view(b, c, h, 1)
    columns = m.norm_columns(along(x.mean(2))).sigmoid().view(b, c, 1, w)
    x = x * rows * columns
    d = m.norm(F.avg_pool2d(x, m.window, m.window))
    q, k, v = (part(d).reshape(b, m.heads, c // m.heads, -1) for part in (m.q, m.k, m.v))
    scores = (q @ k.transpose(-2, -1) * m.scale).softmax(-1)
    return x * (scores @ v).reshape(b, c, -1).mean(2)[:, :, None, None].sigmoid()


PLAIN: dict[str, Callable[..., Tensor]] = {
    "se": _se, "rcan": _rcan, "eca": _eca, "fca": _fca, "gct": _gct, "srm": _srm,
    "dia": _dia, "bilinear": _bilinear, "enc": _enc, "enc_module": _enc_module,
    "gsop": _gsop, "soca": soca,
    "simam": _simam, "ortho": _ortho, "sge": _sge, "shuffle": _shuffle, "gather_excite": _gather_excite,
    "channel_cbam": _channel_gate, "cbam": _cbam, "bam": _bam, "coordinate": _coordinate, "triplet": _triplet,
    "ema": _ema, "scse": _scse, "mca": _mca, "scsa": _scsa,
}  # fmt: skip
