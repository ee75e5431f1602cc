"""`predict`: responses of recorded neurons to new images. Heavy imports wait inside the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..asked import Asked
from ..plugin.areas import BEHAVIOR
from ..plugin.errors import UserError, suggest
from ..plugin.files import require_writable, whole_file
from .asking import LAYERS, MODEL, asks_for
from .front_end import front_end
from .progress import downloading, watching

if TYPE_CHECKING:
    import xarray

ENDINGS = (".nc", ".csv")

PREDICT_HELP = """
Predict what the neurons of a benchmark, or of your own recordings, would answer to new images.

The regression from the model's layer to the neurons is fitted once, which shows the model all images of the benchmark,
and kept: after that only new images are shown. Beside each neuron stands how well it is predicted, its cross-validated
r. In the .nc file: prediction (image, neuroid) and r (neuroid); in the .csv a row for each image and neuroid.

Examples:

  brainscore-submission predict --model 991 --benchmark MajajHong2015public.IT-pls --images new/ -o predictions.nc

  brainscore-submission predict --model timm:resnet18 --layers V4=layer3 --recordings my_v4/ --images new/ -o new.csv
"""


@asks_for(*MODEL, *LAYERS)
def predict(
    asked: Asked,
    images: Annotated[Path, typer.Option(help="A folder of images, or one image.")],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="A .nc or .csv file.")],
    benchmark: Annotated[str | None, typer.Option(help="A benchmark id: MajajHong2015public.IT-pls.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings, instead.")] = None,
    area: Annotated[str | None, typer.Option(help="Of recordings of several areas: V4.")] = None,
    degrees: Annotated[
        float | None, typer.Option(min=0.01, help="Width at which the images are shown; default the benchmark's.")
    ] = None,
    rerun: Annotated[str, typer.Option(help="missing, or all: fit anew.")] = "missing",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what Brain-Score logs.")] = False,
) -> None:
    """See `PREDICT_HELP`, which is the help text."""
    asked = replace(
        asked, benchmarks=(benchmark,) if benchmark else (), recordings=recordings and str(recordings), areas=area
    )
    if not asked.benchmarks and not asked.recordings:
        raise typer.BadParameter("give --benchmark or --recordings.")
    if output.suffix not in ENDINGS:
        raise UserError(f"{output}: predictions are written as .nc (netCDF) or .csv. Give -o predictions.nc")
    with front_end(verbose) as terminal:
        from ..recordings.checking import converted
        from ..recordings.images import images_below
        from ..scoring.kept import ScoreOptions, layer_of
        from ..scoring.prediction import kept_or_fitted, predict_responses
        from .many import with_room

        read, notes = images_below(images)
        files = [image.path for image in read.values()]
        terminal.warn(finding.message for finding in [*notes, *converted(list(read.values()))])
        require_writable(output)
        suite = asked.open_suite()
        neural = [leaf for leaf, place in suite.leaves.items() if place != BEHAVIOR] or list(suite.leaves)
        if len(neural) > 1:
            known = [suite.leaves[leaf] for leaf in neural]
            raise UserError(f"there are {len(neural)} areas to predict: choose one with --area.{suggest('', known)}")
        with downloading(terminal) as progress:
            opened = asked.open_model((suite.leaves[neural[0]],), progress)
        with watching(terminal) as watcher:
            options = with_room(ScoreOptions(rerun=rerun, watcher=watcher), asked, opened)
            mapping = kept_or_fitted(opened, suite, neural[0], options)
            layer = layer_of(neural[0], suite.leaves[neural[0]], opened)
            found = predict_responses(opened, layer, mapping, files, options, degrees)
        marks = " ".join([*opened.marks, *(["SIMULATED"] if suite.simulated else [])])
        facts = {"model": opened.name, "benchmark": neural[0], "layer": layer, "marks": marks}
        _write(_dataset(found, files, mapping, facts), output)
        said = facts | {"images": len(files), "neuroids": found.shape[1], "written": str(output)}
        said["median r"] = float(sorted(mapping.r)[len(mapping.r) // 2])
        if as_json:
            terminal.write_json(said)
            return
        terminal.out.write(
            f"{output}: {len(files)} images x {found.shape[1]} neuroids of {neural[0]}, from layer {layer}; median "
            f"cross-validated r {said['median r']:.3f}{''.join(f' [{mark}]' for mark in facts['marks'].split())}\n"
        )


def _dataset(found, files, mapping, facts) -> xarray.Dataset:
    import xarray

    return xarray.Dataset(
        {"prediction": (("image", "neuroid"), found), "r": (("neuroid",), mapping.r)},
        coords={"image": [str(path) for path in files], "neuroid": list(mapping.neuroid_id)},
        attrs=facts,
    )


def _write(dataset: xarray.Dataset, output: Path) -> None:
    with whole_file(output) as unfinished:
        if output.suffix == ".nc":
            dataset.to_netcdf(unfinished)
        else:
            dataset.to_dataframe().to_csv(unfinished)
