"""What was asked for, in the words of the command line: read alike by evaluate, layer search and cluster workers."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .models.layer_maps import DEFAULT_LAYER_MAP
from .plugin.areas import AREAS_AND_BEHAVIOR, BEHAVIOR
from .plugin.errors import UserError
from .scoring.naming import folder_name
from .words import parse_bytes, parse_layers, words_of

if TYPE_CHECKING:  # heavy: they wait until something is opened
    from .engine.budget import Budget
    from .models.model import Model
    from .scoring.suites import Suite


_HELD_AGAINST = ("suite", "benchmarks", "recordings", "metric", "areas")


@dataclass(frozen=True)
class Asked:
    """A model and what it is held against; any machine opens the same from it, where files lie at the same path.

    Parameters
    ----------
    model, name, weights, ema, layer_map, preprocessing, device, batch_size, precision : see `models.opening.open_model`
    layers : "V1=<layer>,V2=<layer>", over those of the layer map
    suite : name of a suite or path of a suite's TOML file, instead of `benchmarks` or `recordings`; default "public"
    benchmarks : ids
    recordings, metric : folder of a lab's own recordings
    areas : "V4,IT": of the suite, those alone; default all that the model has layers for
    memory, disk : what recorded features may take, such as "4GB"; default half of what is free
    command : the command line, for the records
    """

    model: str
    suite: str | None = None
    benchmarks: tuple[str, ...] = ()
    recordings: str | None = None
    metric: str = "pls"
    areas: str | None = None
    name: str | None = None
    weights: str | None = None
    ema: bool = True
    layer_map: str = DEFAULT_LAYER_MAP
    layers: str | None = None
    preprocessing: str | None = None
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "float32"
    memory: str | None = None
    disk: str | None = None
    command: str | None = None

    def __post_init__(self):
        if self.name is not None:
            folder_name(self.name)  # refused before any work

    @property
    def called(self) -> str:
        """What a message about the model calls it: its name, or what was typed."""
        return self.name or " ".join(filter(None, [self.model, self.weights]))

    def open_suite(self) -> Suite:
        """The suite, the benchmarks or the recordings: of these the areas that were asked for.

        Raises
        ------
        UserError
            For several of them, and for what does not exist.
        """
        from .scoring.suites import find_suite, single_benchmarks

        given = {"--suite": self.suite, "--benchmark": self.benchmarks, "--recordings": self.recordings}
        named = [option for option, value in given.items() if value]
        if len(named) > 1:
            raise UserError(f"give one of {', '.join(named)}, not several.")
        if self.recordings:
            from .recordings import read_recordings, recordings_suite

            suite = recordings_suite(read_recordings(Path(self.recordings)), self.metric)
        else:
            suite = single_benchmarks(self.benchmarks) if self.benchmarks else find_suite(self.suite or "public")
        return suite.of_areas(words_of(self.areas)) if self.areas else suite

    def open_model(
        self, areas: Sequence[str] = AREAS_AND_BEHAVIOR, progress: Callable[[int, int], None] | None = None
    ) -> Model:
        """The model, with a layer for each of the areas; for behaviour only where it is asked for by name.

        A network without a readout layer is scored on the rest of a suite: see `scoring.kept.readable`.
        """
        from .models.opening import open_model

        if not self.benchmarks and BEHAVIOR not in words_of(self.areas or "") and set(areas) - {BEHAVIOR}:
            areas = [area for area in areas if area != BEHAVIOR]

        return open_model(
            self.model,
            name=self.name,
            weights=self.weights,
            ema=self.ema,
            layer_map=self.layer_map,
            layers=parse_layers(self.layers),
            preprocessing=self.preprocessing,
            device=self.device,
            batch_size=self.batch_size,
            precision=self.precision,
            progress=progress,
            areas=areas,
            held_against=shlex.join([*(["--weights", self.weights] if self.weights else []), *self.held_against()]),
            simulated=self._is_simulated(),
        )

    def held_against(self) -> list[str]:
        """The options of a command line that say what the model is held against."""
        return self.suite_alone().as_options(besides=("model",)) or ["--suite", "public"]

    def suite_alone(self) -> Asked:
        """The same of no model: equal for all models that are held against the same."""
        return Asked("", **{name: getattr(self, name) for name in _HELD_AGAINST})

    def _is_simulated(self) -> bool:
        if self.benchmarks or self.recordings:
            return bool(self.benchmarks) and all(one.startswith("demo.") for one in self.benchmarks)
        return self.open_suite().simulated

    def budget(self, device: str) -> Budget:
        """What recorded features may take on this machine."""
        from .engine.budget import Budget
        from .plugin.fetching import cache_folder

        default = Budget.default(cache_folder(), device)
        memory = parse_bytes(self.memory) if self.memory else default.memory_bytes
        disk = parse_bytes(self.disk) if self.disk else default.disk_bytes
        return Budget(memory, disk, default.scratch)

    def as_options(self, besides: Sequence[str] = ()) -> list[str]:
        """The words of a command line that asks for the same.

        >>> Asked("991", suite="demo", batch_size=4).as_options()
        ['--model', '991', '--suite', 'demo', '--batch-size', '4']
        """
        words: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default or field.name in ("command", *besides):
                continue
            option = f"--{'benchmark' if field.name == 'benchmarks' else field.name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(option if value else f"--no-{option.removeprefix('--')}")
                continue
            for one in value if isinstance(value, tuple) else (value,):
                words += [option, str(one)]
        return words
