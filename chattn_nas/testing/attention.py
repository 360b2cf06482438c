"""The conformance battery that every attention type must pass, ours and third parties'::

    import pytest
    from chattn_nas.testing.attention import battery

    @pytest.mark.parametrize("conformance", battery("mine"), ids=str)
    def test_mine(conformance):
        conformance()

pytest is not needed to import this; a check that does not apply raises ``unittest.SkipTest``, which pytest shows as
skipped.
"""

from __future__ import annotations

import copy
import io
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from unittest import SkipTest

import torch
from torch import Tensor, nn

from chattn_nas.attention import AuxiliaryHead, IdentityStart
from chattn_nas.attention.counted import flop_counter
from chattn_nas.testing.cases import Applied, Case, cases
from chattn_nas.testing.reads import reads_back

Check = Callable[[Case], None]
#: A hidden layer of one unit is dead under half of the seeds, two of them under three of four; under all of these, only
#: a module that cannot learn is. Most need one.
SEEDS = 24


def _close(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    error = (actual.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-6)
    assert error <= tolerance, f"{what}: relative error {error:.1e}, allowed {tolerance:.0e}"


def _finite(tensor: Tensor | None, what: str) -> None:
    assert tensor is None or tensor.isfinite().all(), f"{what} is not finite"


def keeps_shape_and_type(case: Case) -> None:
    """Output has the input's shape, dtype and memory format, at the built size and at another."""
    height, width = case.feature_size
    sizes = [case.feature_size] if case.kind.needs_feature_size else [case.feature_size, (height + 1, width + 4)]
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        module = case.build().to(dtype).eval()
        for size, layout in itertools.product(sizes, (torch.contiguous_format, torch.channels_last)):
            x = torch.randn(3, case.channels, *size, dtype=dtype).contiguous(memory_format=layout)
            y = module(x)
            assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
            assert y.dtype == dtype, f"{dtype} became {y.dtype}"
            assert y.is_contiguous(memory_format=layout), f"{layout} was lost"


def layout_does_not_matter(case: Case) -> None:
    """channels_last gives the same numbers."""
    module, x = case.build().double().eval(), case.input(dtype=torch.float64)
    _close(module(x.contiguous(memory_format=torch.channels_last)), module(x), 1e-10, "channels_last")


def leaves_input_alone(case: Case) -> None:
    """The input is not changed, and adding to the output in place, as timm's blocks do, does not break backward."""
    for train in (True, False):
        module, x = case.build().train(train), case.input().requires_grad_()
        inside = x * 1
        before = inside.detach().clone()
        y = module(inside)
        assert torch.equal(inside.detach(), before), "the input was changed"
        y += inside
        y.sum().backward()
        _finite(x.grad, "the gradient after an in-place add")


def stays_finite(case: Case) -> None:
    """Constant maps, dead samples and channels, tiny and large values give finite outputs and gradients."""
    ordinary = case.input()
    one_dead, dead_channel = ordinary.clone(), ordinary.clone()
    one_dead[1] = 0
    dead_channel[:, 0] = 0
    maps = {
        "a constant map": torch.full_like(ordinary, 1.5),
        "a zero map": torch.zeros_like(ordinary),
        "a dead sample": one_dead,
        "a dead channel": dead_channel,
        "a tiny map": ordinary * 1e-6,
        "a large map": ordinary * 1e3,
    }
    for (what, x), train in itertools.product(maps.items(), (True, False)):
        _runs_finite(case.build().train(train), x, what)


def _runs_finite(module: nn.Module, x: Tensor, what: str) -> None:
    x = x.clone().requires_grad_()
    y = module(x)
    _finite(y, f"the output for {what}")
    y.square().mean().backward()
    _finite(x.grad, f"the gradient for {what}")
    for name, parameter in module.named_parameters():
        _finite(parameter.grad, f"the gradient of {name} for {what}")
    for name, buffer in module.named_buffers():
        _finite(buffer, f"buffer {name} after {what}")


def one_pixel_or_refusal(case: Case) -> None:
    """A 1x1 map is refused by the registry, or gives finite numbers."""
    kind, size = case.kind, (1, 1)
    if kind.needs_map or kind.problem(case.channels, size, case.complete):
        raise SkipTest(f"{case.type} is not built on 1x1 maps")
    module = Case(case.type, case.channels, size, case.values).build()
    for train in (True, False):
        _runs_finite(module.train(train), torch.randn(4, case.channels, 1, 1), "a 1x1 map")


def one_sample_or_refusal(case: Case) -> None:
    """A batch of one works in eval; in training it works, or the type says ``needs_batch`` and raises ValueError."""
    x = case.input(batch=1)
    _runs_finite(case.build().eval(), x, "one sample in eval")
    module = case.build().train()
    try:
        _runs_finite(module, x, "one sample in training")
    except ValueError:
        assert case.kind.needs_batch, "training on one sample raises, but needs_batch is not declared"


def gradients_are_right(case: Case) -> None:
    """Analytic gradients equal numeric ones in float64, for the input and every parameter."""
    for train in (False, True):
        module = case.build().double().train(train)
        names = [name for name, _ in module.named_parameters()]

        def run(x: Tensor, *values: Tensor, module: nn.Module = module, names: list[str] = names) -> Tensor:
            # A copy: numeric differences call this many times, and training moves running statistics.
            given = dict(zip(names, values, strict=True))
            torch.manual_seed(0)  # what a module draws at random is the same at every call
            return torch.func.functional_call(copy.deepcopy(module), given, (x,))

        x = case.input(batch=2, dtype=torch.float64).requires_grad_()
        parameters = [parameter.detach().requires_grad_() for parameter in module.parameters()]
        assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True, atol=1e-6, rtol=1e-4)


def every_parameter_learns(case: Case) -> None:
    """Every parameter that the output depends on has a gradient, once the module is off its start."""
    idle: set[str] = set()
    for seed in range(SEEDS):
        module, x = case.build(seed).eval(), case.input(seed=seed).requires_grad_()
        module(x).square().mean().backward()
        heads = {id(p) for p in _auxiliary(module)}
        if seed == 0:
            idle = {name for name, parameter in module.named_parameters() if id(parameter) not in heads}
        idle -= _with_gradient(module)
        if not idle:
            return
    assert not idle, f"no gradient for {sorted(idle)}"


def _auxiliary(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of auxiliary heads, which are trained by a loss of their own and counted nowhere."""
    return [p for m in module.modules() if isinstance(m, AuxiliaryHead) for p in m.parameters()]


def _with_gradient(module: nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def bfloat16_is_close(case: Case) -> None:
    """Under bf16 autocast the output is finite and within 2e-2 of float32, for a float32 and a bf16 map."""
    module, x = case.build().eval(), case.input()
    wanted = module(x)
    for given in (x, x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            output = module(given)
        assert output.dtype == given.dtype, f"{given.dtype} became {output.dtype} under autocast"
        _finite(output, "the output under autocast")
        _close(output, wanted, 2e-2, f"autocast on {given.dtype}")


def copies_are_equal(case: Case) -> None:
    """deepcopy, state_dict into a module of another seed, a saved file, and a module made on meta: the same output."""
    module, x = case.build().eval(), case.input()
    wanted = module(x)
    twin = copy.deepcopy(module)
    assert torch.equal(twin(x), wanted), "deepcopy"
    shared = {id(p) for p in module.parameters()} & {id(p) for p in twin.parameters()}
    assert not shared, "a deep copy shares parameters"
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = case.build(seed=7).eval()
    other.load_state_dict(state)
    assert torch.equal(other(x), wanted), "state_dict"
    with torch.device("meta"):
        empty = case.fresh()
    empty = Applied(empty) if case.kind.scope == "stage" else empty
    empty = empty.to_empty(device="cpu").eval()
    empty.load_state_dict(state)
    assert torch.equal(empty(x), wanted), "a module made on the meta device, then filled from a state_dict"


def one_seed_one_module(case: Case) -> None:
    """Two modules built under one seed are equal."""
    one, two = case.fresh(3).state_dict(), case.fresh(3).state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def has_no_memory(case: Case) -> None:
    """Forwards do not see each other: other batches in between change nothing, and each has its own graph."""
    module, x = case.build().eval(), case.input()
    wanted = module(x)
    module(case.input(batch=2, seed=5))
    assert torch.equal(module(x), wanted), "a forward changed the next"
    module.train()
    for batch in (4, 3):
        module(case.input(batch=batch).requires_grad_()).sum().backward()


def samples_are_independent(case: Case) -> None:
    """In eval mode a sample's output does not depend on the other samples."""
    module, x = case.build().double().eval(), case.input(dtype=torch.float64)
    _close(module(x[:1]), module(x)[:1], 1e-10, "a sample alone")


def leaves_the_host_alone(case: Case) -> None:
    """Forward and backward read nothing back to the host, so that a GPU need not wait, and can capture a step."""
    module, x = case.build().train(), case.input(batch=4).requires_grad_()
    seen = reads_back(lambda: module(x).square().mean().backward())
    assert not seen, f"{', '.join(seen)}: a GPU could not capture this"


def costs_as_declared(case: Case) -> None:
    """The closed formulas for parameters and MACs equal what torch counts, whatever the layout of the map."""
    kind, site = case.kind, (case.channels, case.feature_size)
    with torch.device("meta"):
        module = case.fresh().eval()
        x = torch.empty(1, case.channels, *case.feature_size)
    parameters = sum(p.numel() for p in module.parameters()) - sum(p.numel() for p in _auxiliary(module))
    declared = kind.parameters(*site, case.complete)
    assert parameters == declared, f"{parameters} parameters, {declared} declared"
    declared = kind.macs(*site, case.complete)
    for layout in (torch.contiguous_format, torch.channels_last):
        with flop_counter() as counter, torch.no_grad():
            module(x.contiguous(memory_format=layout))
        macs = counter.get_total_flops() / 2
        assert macs == declared, f"{macs:.0f} MACs in {layout}, {declared} declared"


def decay_names_exist(case: Case) -> None:
    """``no_weight_decay`` names parameters of the module."""
    possible = {name for name, _ in case.fresh().named_parameters()}
    full = case.kind.cls(case.channels, **_needs(case))
    possible |= {name for name, _ in full.named_parameters()}
    missing = set(case.kind.no_weight_decay) - possible
    assert not missing, f"no parameter is called {sorted(missing)}"


def _needs(case: Case) -> dict[str, object]:
    given = {"feature_size": case.feature_size, "num_classes": case.num_classes}
    return {key: value for key, value in given.items() if getattr(case.kind, f"needs_{key}")}


def canonical_form_is_the_same(case: Case) -> None:
    """The canonical values build, under the same seed, the very same module; and they are their own canonical form."""
    kind, sites = case.kind, [(case.channels, case.feature_size)]
    values = kind.canonical(case.complete, sites)
    kind.complete(values)
    assert kind.canonical(values, sites) == values, "canonical is not idempotent"
    other = Case(case.type, case.channels, case.feature_size, tuple(values.items()), case.num_classes)
    one, two = case.fresh(2).state_dict(), other.fresh(2).state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one), "another start"
    x = case.input()
    assert torch.equal(case.build().eval()(x), other.build().eval()(x)), "another function"


def starts_as_identity(case: Case) -> None:
    """Wrapped in IdentityStart it is the exact identity, and its parameters have gradients by the second step."""
    learning: set[str] = set()
    for seed in range(SEEDS):
        wrapped = IdentityStart(case.fresh(seed), case.channels)
        whole: nn.Module = Applied(wrapped) if case.kind.scope == "stage" else wrapped
        x = case.input(seed=seed)
        assert torch.equal(whole(x), x), "not the identity"
        optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.1)
        for _ in range(2):
            optimiser.zero_grad()
            (whole(x) * torch.linspace(-1, 1, x.numel()).view_as(x)).sum().backward()
            learning |= _with_gradient(wrapped)
            optimiser.step()
        if not list(wrapped.module.parameters()) or any(name.startswith("module.") for name in learning):
            return
    raise AssertionError("nothing inside has a gradient after two steps")


def exports_with_free_batch(case: Case) -> None:
    """torch.export with a dynamic batch gives a program that is right for other batch sizes."""
    module, x = case.build().eval(), case.input()
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    for batch in (2, 5):
        x = case.input(batch=batch)
        _close(program(x), module(x), 1e-5, f"the exported program on {batch} samples")


def transforms(case: Case) -> None:
    """Forward-mode and second derivatives, torch.func.vmap and torch.jit.trace give what ordinary calls give."""
    module, x = case.build().double().eval(), case.input(batch=2, dtype=torch.float64)
    small = case.input(batch=1, dtype=torch.float64).requires_grad_()
    wanted, direction = module(x), case.input(batch=2, seed=2, dtype=torch.float64)
    with warnings.catch_warnings():
        # torch warns of its own use of torch.jit.script, that tracing is old, and that shapes become constants.
        warnings.simplefilter("ignore")
        assert torch.autograd.gradgradcheck(module, (small,), fast_mode=True, atol=1e-5, rtol=1e-3), (
            "second derivatives"
        )
        pulled = torch.func.vjp(module, x)[1](direction)[0]
        pushed = torch.func.jvp(module, (x,), (direction,))[1]
        rows = torch.func.vmap(module)(torch.stack((x, direction)))
        traced = torch.jit.trace(module, (x,), check_trace=False)
        torch.jit.save(traced, io.BytesIO())  # which a Python function inside would not allow
    _close((pushed * direction).sum(), (pulled * direction).sum(), 1e-8, "forward-mode derivative")
    _close(rows, torch.stack((wanted, module(direction))), 1e-10, "vmap")
    _close(traced(direction), module(direction), 1e-6, "a trace")


def compiles(case: Case) -> None:
    """torch.compile in one graph gives the same output and gradient (a C++ compiler is needed; seconds a case)."""
    module, x = case.build().eval(), case.input().requires_grad_()
    compiled = torch.compile(module, fullgraph=True)
    wanted = torch.autograd.grad(module(x).square().sum(), x)[0]
    y = compiled(x)
    _close(y, module(x), 1e-5, "the compiled output")
    _close(torch.autograd.grad(y.square().sum(), x)[0], wanted, 1e-4, "the compiled gradient")


#: Run for the defaults and for every other value of each hyperparameter.
ALWAYS: tuple[Check, ...] = (
    costs_as_declared,
    canonical_form_is_the_same,
    gradients_are_right,
    every_parameter_learns,
    bfloat16_is_close,
    stays_finite,
    starts_as_identity,
)
#: Run for the defaults.
ONCE: tuple[Check, ...] = (
    keeps_shape_and_type,
    layout_does_not_matter,
    leaves_input_alone,
    one_pixel_or_refusal,
    one_sample_or_refusal,
    copies_are_equal,
    one_seed_one_module,
    has_no_memory,
    samples_are_independent,
    leaves_the_host_alone,
    decay_names_exist,
    exports_with_free_batch,
    transforms,
)
#: Run for the defaults where ``slow`` is asked for: ten seconds and more each.
SLOW: tuple[Check, ...] = (compiles,)


@dataclass(frozen=True)
class Conformance:
    """One check on one case; calling it raises ``AssertionError`` if the type does not conform."""

    check: Check
    case: Case

    def __call__(self) -> None:
        """Run the check; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.check(self.case)

    def __str__(self) -> str:
        return f"{self.check.__name__}-{self.case}"


def battery(*names: str, slow: bool = False) -> list[Conformance]:
    """Every check on every case of these types.

    Args:
        names: Registered types or ``module:Class``.
        slow: The slow checks instead of the others.

    Raises:
        InputError: A type is unknown or cannot be built.
    """
    conformances = []
    for name in names:
        default, *others = cases(name)
        checks = SLOW if slow else ALWAYS + ONCE
        conformances += [Conformance(check, default) for check in checks]
        conformances += [] if slow else [Conformance(check, case) for case in others for check in ALWAYS]
    return conformances
