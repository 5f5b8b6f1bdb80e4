"""The configuration of a GAN's training: frozen dataclasses, read from TOML."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bonescan.configuration import config_from_dict
from bonescan.errors import OptionError
from bonescan.lin2022.gan.dcgan import DcganConfig
from bonescan.prepare import Normalisation

MAY_CHANGE = ("max_minutes", "log_every", "checkpoint_every")
"""Duration and logging may change when a run is continued."""


@dataclass(frozen=True, slots=True)
class GanConfig:
    """One training of a GAN."""

    seed: int = 1
    """Everything random follows from it."""

    steps: int = 4000
    """Number of generator steps."""

    max_minutes: float = 0.0
    """Stop after this many minutes and keep the checkpoint; 0 = no limit."""

    discriminator_steps: int = 3
    """Discriminator steps before each generator step: k of Eq. 9 and of Goodfellow et al. 2014."""

    batch: int = 16
    """Real images in a discriminator step, and samples in every step."""

    learning_rate: float = 2e-4
    """Learning rate of Adam, for both networks."""

    betas: tuple[float, ...] = (0.5, 0.999)
    """Betas of Adam, for both networks."""

    real_target: float = 1.0
    """The discriminator's target for real images: 1 is Eq. 9; a little less keeps it from becoming too certain."""

    ema_decay: float = 0.995
    """Decay of the running average of the generator's weights, which is what is sampled."""

    flip: float = 0.5
    """Probability that a real image is mirrored."""

    shift_px: int = 4
    """Largest shift of a real image along rows and columns, whole pixels, either way."""

    threads: int = 1
    """Threads of torch. Results are reproducible only with the same number."""

    checkpoint_every: int = 50
    """Generator steps between checkpoints."""

    log_every: int = 10
    """Generator steps between progress lines."""

    network: DcganConfig = field(default_factory=DcganConfig)
    normalisation: Normalisation = field(default_factory=Normalisation)

    def __post_init__(self) -> None:
        if min(self.steps, self.discriminator_steps) < 1:
            raise OptionError(
                f"steps is {self.steps} and discriminator_steps {self.discriminator_steps}: take at least one of each"
            )
        least = {
            "seed": (self.seed, 0),
            "threads": (self.threads, 1),
            "checkpoint_every": (self.checkpoint_every, 1),
            "log_every": (self.log_every, 1),
        }
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise OptionError(f"{name} is {value}: give a number from {lowest}")
        if not self.learning_rate > 0:
            raise OptionError(f"learning_rate is {self.learning_rate}: give a number above 0")
        if self.batch < 2:
            raise OptionError(f"batch is {self.batch}: batch norm needs at least 2 images")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"betas is {list(self.betas)}: give two numbers from 0 to below 1")
        if not (0 <= self.flip <= 1 and 0.5 < self.real_target <= 1 and 0 <= self.ema_decay < 1):
            raise OptionError(
                f"flip is {self.flip}, real_target {self.real_target} and ema_decay {self.ema_decay}: "
                "give shares, real_target above 0.5 and ema_decay below 1"
            )
        if not 0 <= self.shift_px < self.network.size:
            raise OptionError(f"shift_px is {self.shift_px}: give 0 or more, and less than the image's size")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values


def read_gan_config(path: Path | None = None, overrides: Sequence[str] = ()) -> GanConfig:
    """Read a TOML file (None: the defaults) and apply overrides "key=value" or "table.key=value", values as in TOML.

    Raises OptionError: the file cannot be read, a key is not known, a value is of the wrong type or out of range.
    """
    try:
        values = {} if path is None else tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"there is no configuration {path}: give an existing TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"the configuration {path} cannot be read ({error}): correct it") from None
    for override in overrides:
        _merge(values, _parsed(override))
    return gan_config_from_dict(values)


def gan_config_from_dict(values: dict[str, Any]) -> GanConfig:
    """Build the configuration from nested mappings. Raises OptionError."""
    try:
        config: GanConfig = config_from_dict(GanConfig, values)
    except ValueError as error:
        raise OptionError(f"the network cannot be built: {error}") from None
    return config


def _parsed(override: str) -> dict[str, Any]:
    """Parse an override as a line of TOML; a bare word is a string."""
    key, equals, text = override.partition("=")
    for line in (override, f"{key}={json.dumps(text)}"):
        try:
            if equals:
                return tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            continue
    raise OptionError(f"the override {override!r} is not of the form key=value: correct it")


def _merge(values: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
