"""`package`, `check` and `weights`: from a model to an accepted zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.text import Text

from ..plugin.errors import UserError
from ..words import count, parse_layers, printable
from ..words.tables import Rows
from .asking import EmaOption
from .front_end import front_end
from .progress import downloading

if TYPE_CHECKING:
    from ..checking import Verdict

PACKAGE_HELP = """
Build the zip that brain-score.org accepts. One model a zip; several models, several zips.

Examples:

  brainscore-submission package --model 991 --name crossvit18_rotation_adv -o submission.zip

  brainscore-submission package --model 991 --name crossvit18_rotation_adv
  --weights-location s3:brainscore-storage/brainscore-vision/models/user_123/w.pt@VERSION

  brainscore-submission package --model 991,1084 --name mine -o zips/
"""

CHECK_HELP = """
Check a Brain-Score submission zip, also one not made here, before the site counts the upload.

The plugin's code is run in processes of its own: behind a wall where bubblewrap is installed (no network, none of your
files), else with your rights, and the verdict says so. With --full it runs in a fresh environment made from its
requirements, and is scored on the demo suite.

Examples:

  brainscore-submission check submission.zip

  brainscore-submission check submission.zip --full

  brainscore-submission check submission.zip --network     (its code fetches weights by itself)
"""

WEIGHTS_HELP = """
Write the trained tensors alone, prefix-free, for the site's large-file upload, and print their hashes.

Of a file that holds moving averages beside the weights, the averages; with --no-ema the weights as they were trained,
which a package then takes: `package --weights w.pt`.

Example:

  brainscore-submission weights --model 991 -o w.pt
"""

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
_COLOURS = {"failed": "red", "advice": "yellow", "unchecked": "cyan", "ok": "green"}  # in the order they are shown


def package(
    model: Annotated[str, typer.Option(help="A model, or several with commas between.")],
    name: Annotated[str, typer.Option(help="New identifier on the site: letters, digits, underscores.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The zip, or a folder: folder/ is made if missing.")] = ".",
    layer_map: Annotated[str, typer.Option(help="paper, code_comment, another name, or a JSON file.")] = "paper",
    layers: Annotated[str | None, typer.Option(help="V1=…,V2=…,V4=…,IT=…,behavior=…, over the map.")] = None,
    weights: Annotated[str | None, typer.Option(help="The checkpoint that lies at the location.")] = None,
    weights_location: Annotated[str | None, typer.Option(help="s3:bucket/key@VERSION, as the site returns it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """See `PACKAGE_HELP`, which is the help text."""
    with front_end() as terminal:
        from ..checking.zip_check import upload_steps
        from ..models.opening import committed_model
        from ..packaging import hashes
        from ..packaging import package as build

        names = [part.strip() for part in model.split(",") if part.strip()]
        built = []
        place = out if len(names) == 1 else _folder_of_zips(out, names)
        for one in names:
            card, committed, _ = committed_model(one, layer_map, parse_layers(layers))
            identifier = name if len(names) == 1 else f"{name}_{card.competition_id or card.identifier}"
            path = build(card, committed, identifier, place, weights_location, weights=weights)
            size = path.stat().st_size
            steps = [f"Check it: brainscore-submission check --full {path}", *upload_steps(identifier)]
            facts = {"identifier": identifier, "model": one, "path": str(path), "bytes": size, **hashes(path)}
            built.append(facts | {"next_steps": steps})
            if not as_json:
                terminal.out.write(f"{path} ({size / 1000:.0f} kB): {identifier}\n")
        if as_json:
            terminal.write_json({"packages": built})
        else:
            terminal.console.print("From here to the leaderboard:", highlight=False)
            for number, step in enumerate(built[-1]["next_steps"], 1):
                terminal.console.print(f"{number}. {step}", highlight=False, markup=False)


def _folder_of_zips(out: str, models: list[str]) -> str:
    if not models:
        raise UserError("--model names no model. Give one, or several with commas between: --model 991,1084")
    if out.endswith(".zip"):
        raise UserError(f"{out} is one zip, and {len(models)} models make {len(models)}. Give a folder: -o zips/")
    return f"{Path(out)}/"


def check(
    zip_path: Annotated[Path, typer.Argument(metavar="ZIP", help="The submission zip.")],
    full: Annotated[bool, typer.Option("--full", help="Fresh environment, and scores on the demo suite.")] = False,
    environment: Annotated[Path | None, typer.Option(help="Reuse this environment instead of making one.")] = None,
    constraints: Annotated[Path | None, typer.Option(help="pip constraints for the fresh environment.")] = None,
    network: Annotated[bool, typer.Option("--network", help="Let the plugin's code use the network.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="List the rules that hold, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """See `CHECK_HELP`, which is the help text."""
    with front_end() as terminal:
        from ..checking import check as run_check

        with terminal.console.status("checking") as status:
            verdict = run_check(
                zip_path,
                full,
                lambda line: status.update(Text(line)),
                environment=environment,
                constraints=constraints,
                network=network,
            )
        if as_json:
            terminal.write_json(verdict.as_json())
        else:
            _show(verdict, terminal.out, show_all)
        if verdict.failures:
            terminal.complain(
                f"{zip_path} would be refused: {count(len(verdict.failures), 'rule')} failed, named above."
            )
        elif not verdict.passed:
            terminal.complain(f"{zip_path} is not proven: the model could not be tried here, see above.")
    if not verdict.passed:
        raise typer.Exit(1)


def weights(
    model: Annotated[str, typer.Option(help="A model.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    source: Annotated[str | None, typer.Option("--weights", help="A checkpoint; default the card's sources.")] = None,
    ema: EmaOption = True,
    as_json: JsonOption = False,
) -> None:
    """See `WEIGHTS_HELP`, which is the help text."""
    with front_end() as terminal:
        from ..models.opening import describe
        from ..packaging import export_weights
        from ..plugin.fetching import fetch
        from ..plugin.files import require_writable

        card = describe(model)
        require_writable(out)  # before a long download
        with downloading(terminal) as progress:
            hashes = export_weights(card, source or fetch(card, progress=progress), out, ema)
        if as_json:
            facts = {"identifier": card.identifier, "path": str(out), "bytes": out.stat().st_size, **hashes}
            terminal.write_json(facts)
            return
        terminal.out.write(f"{out}\n" + "".join(f"{kind} {value}\n" for kind, value in hashes.items()))


package.__doc__, check.__doc__, weights.__doc__ = PACKAGE_HELP, CHECK_HELP, WEIGHTS_HELP


def _show(verdict: Verdict, out: TextIO, show_all: bool) -> None:
    """Failures first, then advice, then what was not checked; what holds is counted."""
    # What was found is quoted as it is: paths and requirements such as brainscore-vision[test] look like markup.
    console = Console(file=out, markup=False, emoji=False, highlight=False)
    cells = []
    for status, colour in _COLOURS.items():
        for finding in verdict.of(status) if show_all or status != "ok" else ():
            text = finding.message + (f"\n→ {finding.remedy}" if finding.remedy else "")
            cells.append((printable(finding.rule), Text(status, colour), printable(text)))
    title = printable(f"{verdict.zip}: {', '.join(verdict.identifiers) or 'no model'}")
    console.print(Rows(("rule", "", "what was found"), cells, names=2, prose=("what was found",), title=title))
    held = verdict.of("ok")
    if not show_all:
        walled = [f"; {finding.message}" for finding in held if finding.rule == "wall"]
        console.print(f"{count(len(held), 'rule holds', 'rules hold')} (--all lists them){''.join(walled)}")
    if verdict.sha256:
        console.print(f"sha256 {verdict.sha256}")
    for area, score in (verdict.demo_scores or {}).items():
        console.print(printable(f"{area}: {score!r}"))
    for number, step in enumerate(verdict.next_steps, 1):
        console.print(printable(f"{number}. {step}"))
