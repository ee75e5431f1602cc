"""`python -m bench.attacks`: passes and seconds of each attack beside foolbox and pyautoattack, on one network.

Needs torch and timm; foolbox and pyautoattack where they are installed, not brainscore_vision. The network has random
weights and is attacked at its own answers, so the numbers of broken images say little; passes and seconds do. The
bookkeeping is the time outside the network's forward and backward passes, clocked at its input and output.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from brainscore_submission.attacks.autoattack import autoattack
from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.named import run_attack
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.models.opening import find_device
from brainscore_submission.plugin.files import require_writable, write_whole

from .processes import errors_in_a_line

LINF, L2 = Threat("linf", 4 / 255), Threat("l2", 1.0)
OURS = (
    ("fgsm", LINF), ("pgd:10x1", LINF), ("pgd:10x1", L2), ("apgd:100x1", LINF), ("apgd:100x1", L2),
    ("apgd-t:20x9", LINF), ("minimal:100", Threat("l2", 100.0)), ("linsley2023", Threat("l2", 100.0)),
)  # fmt: skip


class Clocked(nn.Module):
    """A network with clocks at both ends: seconds inside, passes forward and back, of images."""

    def __init__(self, network: nn.Module, device: torch.device):
        super().__init__()
        self.network, self.device = network, device
        self.restart()

    def restart(self) -> None:
        """All clocks and counters to zero."""
        self.seconds, self.forward_images, self.backward_images = 0.0, 0, 0

    def now(self) -> float:
        """Seconds, once the device has done what it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def forward(self, images: Tensor) -> Tensor:
        """The network's output."""
        self.forward_images += len(images)
        images = _Clock.apply(images, self, -1)
        started = self.now()
        output = self.network(images)
        self.seconds += self.now() - started
        return _Clock.apply(output, self, +1)


class _Clock(torch.autograd.Function):
    """The identity; on the way back, the one behind the network starts the clock and the one before it stops it."""

    @staticmethod
    def forward(ctx, values: Tensor, clocked: Clocked, end: int) -> Tensor:
        ctx.clocked, ctx.end = clocked, end
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.clocked.seconds -= ctx.end * ctx.clocked.now()
        ctx.clocked.backward_images += len(gradient) if ctx.end > 0 else 0
        return gradient, None, None


@dataclass(frozen=True)
class Row:
    """One attack, measured: passes are of an image, seconds of the whole batch, bookkeeping a share of them."""

    attack: str
    of: str
    forward: float
    backward: float
    seconds: float
    bookkeeping: float
    result: str


@errors_in_a_line
def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet18", help="a name of timm's (default: resnet18)")
    parser.add_argument("--px", type=int, default=64, help="side of the images (default: 64)")
    parser.add_argument("--images", type=int, default=16, help="in the one batch (default: 16)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--out", type=Path, help="write the rows here too, as JSON")
    options = parser.parse_args(arguments)
    if options.out:
        require_writable(options.out, "--out")
    torch.set_num_threads(options.threads)
    rows = measure(options.network, options.px, options.images, torch.device(find_device(options.device)))
    on_gpu = options.device.startswith("cuda")
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {options.threads} thread(s)"
    print(f"{options.network}, {options.images} images of {options.px} px; {device}; ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}\n")
    print(markdown(rows))
    if options.out:
        write_whole(options.out, json.dumps([asdict(row) for row in rows], indent=2).encode(), "--out")
    return 0


def measure(name: str, px: int, n_images: int, device: torch.device) -> list[Row]:
    """Every attack of ours and of the judges that are installed, one after the other on the same images."""
    torch.manual_seed(0)
    clocked = Clocked(timm.create_model(name, num_classes=100).eval().to(device), device)
    classifier = Classifier(clocked.eval(), mean=0.5, std=0.25)
    pixels = torch.rand(n_images, 3, px, px).to(device)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    run_attack("pgd:2x1", classifier, pixels, labels, LINF)  # warm
    return [
        row
        for attack, of, run in [*ours(), *of_foolbox(), *of_pyautoattack()]
        if (row := clock(attack, of, run, clocked, classifier, pixels, labels))
    ]


def ours() -> list[tuple[str, str, Callable]]:
    """Our attacks: name, whose, and a function of (classifier, pixels, labels) -> adversarial images."""
    return [
        (f"{name}, {threat.norm}", "ours",
         lambda classifier, pixels, labels, name=name, threat=threat:
             run_attack(name, classifier, pixels, labels, threat).adversarial)
        for name, threat in OURS
    ]  # fmt: skip


def of_foolbox() -> list[tuple[str, str, Callable]]:
    """foolbox's nearest relatives, where it is installed."""
    if not find_spec("foolbox"):
        return []
    with warnings.catch_warnings(action="ignore"):  # it imports names that scipy has moved
        import foolbox
    attacks = foolbox.attacks
    table = (
        ("fgsm, linf", attacks.FGSM(), LINF.eps),
        ("pgd:10x1, linf", attacks.LinfPGD(steps=10), LINF.eps),
        ("pgd:10x1, l2", attacks.L2PGD(steps=10), L2.eps),
        ("minimal:100, l2 (DDN)", attacks.DDNAttack(steps=100), None),
    )

    def run(classifier: Classifier, pixels: Tensor, labels: Tensor, attack, eps: float | None) -> Tensor:
        with warnings.catch_warnings(action="ignore"):
            judge = foolbox.PyTorchModel(classifier, bounds=(0, 1), device=pixels.device)
        return attack(judge, pixels, labels, epsilons=eps)[1]

    return [
        (name, "foolbox", lambda *given, attack=attack, eps=eps: run(*given, attack, eps))
        for name, attack, eps in table
    ]


def of_pyautoattack() -> list[tuple[str, str, Callable]]:
    """AutoAttack's own Auto-PGD, where pyautoattack is installed; through our door, which adds two passes."""
    if not find_spec("pyautoattack"):
        return []
    return [
        (f"{name}, {threat.norm}", "pyautoattack",
         lambda *given, version=version, threat=threat: autoattack(*given, threat, version=version).adversarial)
        for name, version, threat in (
            ("apgd:100x1", "apgd-ce", LINF), ("apgd:100x1", "apgd-ce", L2), ("apgd-t:100x9", "apgd-t", LINF),
        )
    ]  # fmt: skip


def clock(
    attack: str, of: str, run: Callable, clocked: Clocked, classifier: Classifier, pixels: Tensor, labels: Tensor
) -> Row:
    """Run one attack once and say where its time went."""
    clocked.restart()
    started = clocked.now()
    adversarial = run(classifier, pixels, labels)
    seconds = clocked.now() - started
    inside, n = clocked.seconds, len(pixels)
    forward, backward = clocked.forward_images / n, clocked.backward_images / n
    with torch.no_grad():
        broken = classifier(adversarial).argmax(1) != labels
    size = (adversarial - pixels).flatten(1).norm(dim=1)[broken]
    median = f", median l2 {size.median():.4f}" if len(size) else ""
    print(f"measured {attack} of {of}", file=sys.stderr)
    return Row(
        attack, of, forward, backward, seconds, 1 - inside / seconds, f"broken {broken.float().mean():.0%}{median}"
    )


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        "| attack | of | passes forward | back | seconds | ms a pass | bookkeeping | result |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = 1000 * row.seconds / row.forward
        lines.append(
            f"| {row.attack} | {row.of} | {row.forward:.1f} | {row.backward:.1f} | {row.seconds:.2f} | {each:.2f} | "
            f"{row.bookkeeping:.1%} | {row.result} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
