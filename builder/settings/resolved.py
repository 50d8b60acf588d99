"""Which value of a setting holds, and where it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from builder.protocol.settings import BY_NAME, SETTINGS, Settings, UsedSetting

CALL = "the call"
PROJECT = "the project"


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one place. `is_ours`: they were written for this platform, not for another host.

    `environment`: variables for the build. `notes`: lines for the log.
    """

    origin: str
    settings: Settings
    is_ours: bool = False
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


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
        """For the log: one for each setting, those about files, and one for the variables of each place."""
        lines = [f"{BY_NAME[used.name].label} from {used.origin}: {used.value or '(none)'}" for used in self.used()]
        for layer in self.layers:
            if layer.environment:
                lines.append(f"Variables from {layer.origin}: {', '.join(sorted(layer.environment))}")
            lines.extend(layer.notes)
        return lines

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every place; those of the strongest win."""
        return {name: value for layer in reversed(self.layers) for name, value in layer.environment.items()}


def is_for_server(folder: PurePosixPath) -> bool:
    """Whether this output, for another host, holds what its own servers run."""
    return folder.parts[-1:] in ((".next",), (".netlify",), (".vercel",)) or folder.parts[-2:] == (".vercel", "output")


def _shown(value: str | bool) -> str:
    """In one line."""
    return str(value).lower() if isinstance(value, bool) else "; ".join(value.strip().splitlines())
