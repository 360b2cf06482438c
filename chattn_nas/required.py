"""Packages that this one needs: a missing one is told in one sentence, before anything is spent."""

from __future__ import annotations

import importlib.util

from chattn_nas.errors import MissingExtraError

#: Package to its module, where that is called otherwise.
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "optuna-dashboard": "optuna_dashboard"}
PACKAGES = (
    *MODULES, "torch", "torchvision", "timm", "optuna", "bottle", "jinja2", "filelock", "markupsafe", "numpy",
    "packaging", "pandas", "plotly", "psutil", "pydantic", "rich", "safetensors", "scipy", "torchmetrics", "sqlalchemy",
    "threadpoolctl", "typer",
)  # fmt: skip


def check_required() -> None:
    """Check that every package is there.

    Raises:
        MissingExtraError: One is not.
    """
    for package in PACKAGES:
        module = MODULES.get(package, package)
        if importlib.util.find_spec(module) is None:
            raise _missing(package)


def missing_package(error: BaseException) -> MissingExtraError | None:
    """The sentence for an error that says a package is missing; ``None`` if it is none of ours."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    package = next((one for one in PACKAGES if MODULES.get(one, one) == module), None)
    return None if package is None else _missing(package)


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f"the package {package}, which chattn-nas needs, is not installed: 'pip install chattn-nas' installs what is "
        "missing"
    )
