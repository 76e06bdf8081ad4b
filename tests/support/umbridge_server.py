"""Models on a real UM-Bridge server; its port is the first argument."""

from __future__ import annotations

import sys
from typing import Any

import umbridge


class Decay(umbridge.Model):  # type: ignore[misc]
    """Three states shrink and drift with the cycle; those below -9 break it."""

    def __init__(self) -> None:
        super().__init__("decay")

    def get_input_sizes(self, config: dict[str, Any]) -> list[int]:
        return [3]

    def get_output_sizes(self, config: dict[str, Any]) -> list[int]:
        return [3]

    def __call__(
        self, parameters: list[list[float]], config: dict[str, Any]
    ) -> list[list[float]]:
        if parameters[0][0] < -9:
            raise ValueError("below -9 there is no model")
        if parameters[0][0] > 9:
            return [[float("nan")] * 3]
        shift = config["by"] * config["cycle"]
        return [[0.9 * value + shift for value in parameters[0]]]

    def supports_evaluate(self) -> bool:
        return True


class First(Decay):
    """An instrument that reads the first state."""

    def __init__(self) -> None:
        umbridge.Model.__init__(self, "first")

    def get_output_sizes(self, config: dict[str, Any]) -> list[int]:
        return [1]

    def __call__(
        self, parameters: list[list[float]], config: dict[str, Any]
    ) -> list[list[float]]:
        return [parameters[0][:1]]


if __name__ == "__main__":
    umbridge.serve_models([Decay(), First()], int(sys.argv[1]))
