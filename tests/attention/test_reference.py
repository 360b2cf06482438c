"""Ours against what the official code computed: every vector in tests/reference, or in ``CHATTN_NAS_VECTORS``.

An adapter says how an official module is written with ours: ``adapter(config, tensors) -> (module, names)``, where
``names`` maps each of our parameters and buffers to the official one. It is found by the official module's name in
the ``ADAPTERS`` of any file in ``adapters/``; adding a file there adds modules. A file's ``NOT_OURS`` names official
modules that cannot be expressed, with the reason. The module's forward takes the input and gives the output, or a
dictionary of what to compare, keyed as the vector is: ``{"output": ..., "se_logits": ...}``.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
VECTORS = Path(os.environ.get("CHATTN_NAS_VECTORS") or HERE.parent / "reference")
#: Relative error allowed of (output, gradient).
TOLERANCE = {torch.float64: (1e-10, 1e-8), torch.float32: (2e-6, 5e-6)}
#: In float32, training: a norm over the two or three samples of a vector amplifies rounding.
BATCH_STATISTICS = {"srm": (2e-5, 2e-4), "srm_block": (2e-5, 2e-4)}


def _tables():
    adapters, not_ours, loose = {}, {}, dict(BATCH_STATISTICS)
    for path in sorted((HERE / "adapters").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"reference_adapters_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        adapters |= module.ADAPTERS
        not_ours |= getattr(module, "NOT_OURS", {})
        loose |= getattr(module, "BATCH_STATISTICS", {})
    return adapters, not_ours, loose


ADAPTERS, NOT_OURS, LOOSE = _tables()
CASES = sorted(path.stem for path in VECTORS.glob("*__*.json"))


def _error(ours, official):
    assert ours.shape == official.shape
    ours, official = ours.detach().double(), official.double()
    assert ours.isfinite().all()
    return float((ours - official).abs().max() / official.abs().max().clamp_min(1e-30))


def _load(module, names, tensors, dtype):
    """The official parameters and buffers, each reshaped to ours; a derived buffer must already be equal."""
    official = {
        name.split(".", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(("param.", "buffer."))
    }
    own = module.state_dict()
    derived = {name: buffer for name, buffer in module.named_buffers() if name not in own}
    names = {ours: other for ours, other in names.items() if ours in own or ours in derived}
    assert set(own) <= set(names), f"not given by the vector: {sorted(set(own) - set(names))}"
    unused = set(official) - set(names.values()) - getattr(module, "unused", set())
    assert not unused, f"not taken from the vector: {sorted(unused)}"
    for name in derived.keys() & names.keys():
        torch.testing.assert_close(derived[name].double(), official[names[name]].double(), rtol=1e-6, atol=1e-7)
    module.load_state_dict({name: official[names[name]].reshape(own[name].shape) for name in own})
    return names


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_reference(case, dtype):
    facts = json.loads((VECTORS / f"{case}.json").read_text())
    name, train = facts["module"], facts["mode"] == "train"
    if name in NOT_OURS:
        pytest.skip(f"{name}: {NOT_OURS[name]}")
    if name not in ADAPTERS:
        pytest.skip(f"the project has no {name}")
    tensors = load_file(VECTORS / f"{case}.safetensors")
    module, names = ADAPTERS[name](facts["config"], tensors)
    module.to(dtype).train(train)
    names = _load(module, names, tensors, dtype)
    x = tensors["input"].to(dtype).requires_grad_()
    given = x.detach().clone()

    found = module(x)
    found = found if isinstance(found, dict) else {"output": found}
    (0.5 * found["output"].square().sum()).backward()

    allowed = TOLERANCE[dtype]
    if dtype == torch.float32 and train and name in LOOSE:
        allowed = LOOSE[name]
    for key, value in found.items():
        assert _error(value, tensors[key]) <= allowed[0], key
    assert _error(x.grad, tensors["grad_input"]) <= allowed[1], "gradient"
    assert torch.equal(x.detach(), given), "the input was changed"
    after = {**dict(module.named_buffers())}
    for ours, official in names.items():
        expected = tensors.get(f"buffer_after.{official}")
        if expected is not None:
            assert _error(after[ours].reshape(expected.shape), expected) <= allowed[0], ours


def test_there_are_vectors():
    assert CASES, f"no vectors in {VECTORS}"


def test_no_case_is_known_by_name():
    source = Path(__file__).read_text() + "".join(path.read_text() for path in (HERE / "adapters").glob("*.py"))
    assert not [case for case in CASES if case.split("__")[1] in source]
