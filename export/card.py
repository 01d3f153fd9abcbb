"""The model card (Mitchell et al., "Model cards for model reporting", 2019), rendered from the passport alone."""

from __future__ import annotations

from contracts.passport import Passport


def render(passport: Passport, inputs, outputs) -> dict[str, str]:
    return {}
