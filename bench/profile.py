"""`python -m bench.profile`: every second of an evaluation at true sizes that is not the network's: cold, warm, second.

The network is timm's `test_vit`, which costs next to nothing. A cold run finds nothing kept; the warm run after it, a
process of its own, finds Gram matrices, ceilings and images on their canvas, but no records: it scores again. The third
column is of other weights that are scored next in the process of a cold run, as `--models` does it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from .processes import Workshop, errors_in_a_line, in_words, machine
from .report import DASH, markdown, seconds
from .sizes import PLANS, TRUE_SUITE, SuiteSize

RUNS = ("cold", "warm")
SECOND = "second of a list"  # other weights, in the process of a cold run


@errors_in_a_line
def main(arguments: list[str] | None = None) -> int:
    """Measure both and print the table."""
    made = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    made.add_argument("--network", choices=("crossvit", "tiny"), default="tiny", help="default tiny")
    made.add_argument("--plan", choices=PLANS, default="full", help="whose sizes; default full: the true ones")
    made.add_argument("--device", default="auto", help="auto, cpu or cuda[:i]")
    made.add_argument("--work", type=Path, help="folder for temporary files; default the system's")
    options = made.parse_args(arguments)
    report = evaluation(PLANS[options.plan].evaluate, options.network, options.device, options.work)
    print("\n\n".join([in_words(machine()), report]))
    return 0


def evaluation(size: SuiteSize, network: str, device: str, work: Path | None = None) -> str:
    """Measure a cold and a warm evaluation, and decoding alone, and say it as Markdown.

    Raises
    ------
    UserError
        A measurement stopped.
    """
    of = {"size": size._asdict(), "network": network, "device": device}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=work) as folder:
        workshop, home = Workshop(Path(folder), machine()["cores"], device), Path(folder, "home")
        shown = {"writer": "inputs.write_images", **of}
        took = [
            workshop.run("sides.evaluate", run, home=home, run=run, side="ours", batch_size=64, **shown) for run in RUNS
        ]
        took.append(workshop.run("sides.second_of_a_list", SECOND, side="ours", batch_size=64, **shown))
        rates = workshop.run("sides.decoding", "decoding alone", **shown)
    sizes = f"{size}; " + ("the true sizes." if size == TRUE_SUITE else "smaller than the true sizes.")
    share = (
        f"Images decoded: {rates['alone']:.0f} a second alone, {rates['recorded']:.0f} recorded of a network that does "
        f"nothing, {100 * rates['recorded'] / rates['alone']:.0f} %."
    )
    return "\n\n".join([table(took), sizes, share])


def table(took: list[dict]) -> str:
    """Seconds of each part, a column for each run, and the sum."""
    columns = [parts(one) for one in took]
    rows = [
        [name, *(seconds(column[name]) if name in column else DASH for column in columns)]
        for name in dict.fromkeys(name for column in columns for name in column)
    ]
    whole = [sum(column.values()) for column in columns]
    rows.append(["**all**, from the start of Python's imports", *map(seconds, whole)])
    beside = [all_ - one["forward_seconds"] for all_, one in zip(whole, took, strict=True)]
    rows.append(["**without the network**", *map(seconds, beside)])
    rows.append(["image passes", *(str(one["passes"]) for one in took)])
    return markdown(["part", *RUNS, SECOND], rows)


def parts(took: dict) -> dict[str, float]:
    """Seconds by part; what is inside another part is taken out of it."""
    names = {
        "loading": "recorded responses made (a user's are read from files)",
        "preparing": "images placed and hashed",
        "recording": "images decoded, Gram matrices",
    }
    stages: dict[str, float] = {}
    for what, stage in took["stages"]:
        name = names.get(what.split()[0], what)
        stages[name] = stages.get(name, 0.0) + stage
    stages[names["recording"]] -= took["forward_seconds"]
    for area, ceiling in took["ceilings"].items():
        stages[f"scoring bench.{area}"] -= ceiling
    ceilings = {f"ceiling of {area}": ceiling for area, ceiling in took["ceilings"].items()}
    return {"imports": took["import_seconds"], **stages, "the network": took["forward_seconds"], **ceilings}


if __name__ == "__main__":
    sys.exit(main())
