"""Which value of a setting holds, and where it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from builder.protocol.settings import BY_NAME, SETTINGS, Settings, UsedSetting

CALL = "the call"
PROJECT = "the project"


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one place. `is_ours`: they were written for this platform, not for another host."""

    origin: str
    settings: Settings
    is_ours: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """The layers, strongest first."""

    layers: Sequence[Layer]

    def layer_of(self, name: str) -> Layer | None:
        """The strongest one that sets it."""
        return next((layer for layer in self.layers if getattr(layer.settings, name) is not None), None)

    def text(self, name: str) -> str | None:
        layer = self.layer_of(name)
        return None if layer is None else str(getattr(layer.settings, name))

    def flag(self, name: str) -> bool:
        layer = self.layer_of(name)
        return layer is not None and bool(getattr(layer.settings, name))

    def used(self) -> tuple[UsedSetting, ...]:
        """Those that some layer sets, in the order of the table."""
        found = [(setting.name, self.layer_of(setting.name)) for setting in SETTINGS]
        return tuple(
            UsedSetting(name, _shown(getattr(layer.settings, name)), layer.origin) for name, layer in found if layer
        )

    def lines(self) -> list[str]:
        """One for the log for each."""
        return [f"{BY_NAME[used.name].label} from {used.origin}: {used.value or '(none)'}" for used in self.used()]


def _shown(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value
