"""The page's colours as plain values, for places without a style sheet."""

from __future__ import annotations

from typing import Any

#: The light theme of ``style.css``.
LIGHT = {
    "ink": "#1c2024",
    "soft": "#565e66",
    "page": "#f6f6f3",
    "surface": "#ffffff",
    "faint": "#a9b0b7",
    "grid": "#e4e5e1",
    "low": "#c75100",
    "middle": "#f2f2ef",
    "high": "#0067a8",
    "c1": "#0072b2",
    "c2": "#d98c00",
    "c3": "#009e73",
    "c4": "#b8578f",
    "c5": "#4a9fd0",
    "c6": "#d55e00",
    "c7": "#8a7a00",
    "c8": "#6a51a3",
    "c-none": "#8b9299",
    "c-control": "#5f666d",
}


def painted(value: Any, palette: dict[str, str] = LIGHT) -> Any:
    """Replace the colour tokens (``@ink``) of a figure."""
    if isinstance(value, str):
        return palette[value[1:]] if value.startswith("@") else value
    if isinstance(value, list):
        return [painted(inner, palette) for inner in value]
    if isinstance(value, dict):
        return {key: painted(inner, palette) for key, inner in value.items()}
    return value
