"""What the numbers of a training depend on besides its settings."""

from __future__ import annotations

from typing import Any

import timm
import torch


def provenance_of(device: torch.device) -> dict[str, Any]:
    """The fields ``device`` and ``versions`` of a measurement on this device."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
    }
