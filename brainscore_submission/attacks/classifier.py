"""The attacked function, pixels in [0, 1] -> logits, normalisation inside; and the door where input is validated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..plugin.errors import UserError
from ..plugin.hooks import exact_arithmetic

PRECISIONS = (torch.float32, torch.float64)


class Classifier(nn.Module):
    """Normalisation and a network: what is attacked. Counts what passes through it.

    Parameters
    ----------
    network : nn.Module in eval mode, normalised images (n, channels, height, width) -> logits (n, classes)
    mean, std : of each channel, or one number for all; pixels go in as (pixels - mean) / std
    dtype : of pixels and logits, float32 or float64. A network in half precision is fed its own precision
    train_mode : attack a network in train mode: its dropout draws, its BatchNorm uses the batch's statistics, so an
        image alone and in a batch differ. The running statistics stay as they were

    Attributes
    ----------
    passes : images that went forward so far
    n_classes : None before the first pass

    Raises
    ------
    UserError
        on construction, for other precisions and for float64 of a network in float32; on a pass, for an output that is
        not one tensor (n, classes) of finite numbers
    """

    def __init__(
        self,
        network: nn.Module,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        *,
        dtype: torch.dtype = torch.float32,
        train_mode: bool = False,
    ):
        super().__init__()
        self.network, self.dtype, self.train_mode = network, dtype, train_mode
        self.passes, self.n_classes = 0, None
        self.training = network.training
        weight = next((weight for weight in network.parameters() if weight.is_floating_point()), None)
        self._network_dtype = dtype if weight is None else weight.dtype
        self._device = None if weight is None else weight.device
        if dtype not in PRECISIONS:
            raise UserError(f"attacks work in float32 or float64, not {dtype}.")
        if dtype == torch.float64 and self._network_dtype != torch.float64:
            raise UserError(f"float64 was asked for, but the network is {self._network_dtype}: call network.double().")
        for name, values in (("mean", mean), ("std", std)):
            values = torch.as_tensor(values, dtype=dtype, device=self._device)
            self.register_buffer(name, values if values.ndim == 0 else values[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of shape (n, classes), in `dtype`; refuses those that are not finite."""
        self.passes += len(pixels)
        output = self.network(((pixels - self.mean) / self.std).to(self._network_dtype))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(pixels) or output.shape[1] < 2:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(f"the network gives {shape} for {len(pixels)} images, not logits of (images, classes).")
        self.n_classes = output.shape[1]
        require_finite(output, "logits")
        return output.to(self.dtype)

    def device_of(self, pixels: Tensor) -> torch.device:
        """Where its weights are; of a network without weights, where the pixels are."""
        return self._device or pixels.device


@contextmanager
def admitted(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    targets: Tensor | int | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """The door of every attack: refuse what cannot be attacked, leave the network as it was found.

    Inside, weights ask for no gradient, float32 is computed as float32, and pixels, labels and targets are on the
    network's device in its precision. Afterwards weights ask for what they asked before, and buffers of a network in
    train mode (BatchNorm's statistics) hold what they held.

    Raises
    ------
    UserError
        train mode that was not asked for, pixels outside the range, labels or targets outside the classes, shapes that
        do not fit; and what `Classifier` refuses
    """
    network = classifier.network
    training = next((name or "the whole network" for name, module in network.named_modules() if module.training), None)
    if training is not None and not classifier.train_mode:
        raise UserError(f"the network is in train mode ({training}): call network.eval(), or ask for train_mode=True.")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    held = {} if training is None else {buffer: buffer.clone() for buffer in network.buffers()}
    try:
        for weight in weights:
            weight.requires_grad_(False)
        with torch.inference_mode(False), exact_arithmetic():
            device = classifier.device_of(pixels)
            _require_pixels(pixels, low, high)
            pixels = pixels.detach().to(device, classifier.dtype, copy=True)
            if classifier.n_classes is None and len(pixels):
                with torch.no_grad():
                    classifier(pixels[:1])
            labels = _classes(classifier, labels, len(pixels), "labels").to(device)
            if isinstance(targets, int):
                targets = torch.full((len(pixels),), targets)
            if targets is not None:
                targets = _classes(classifier, targets, len(pixels), "targets").to(device)
            yield pixels, labels, targets
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.no_grad():
            for buffer, values in held.items():
                buffer.copy_(values)


def require_finite(values: Tensor, what: str) -> None:
    """Refuse NaN and infinity, naming the images; the sum is looked at first, since it is cheap."""
    if not torch.isfinite(values.detach().sum()):
        bad = (~torch.isfinite(values.detach().flatten(1)).all(1)).nonzero().flatten().tolist()
        if bad:
            shown = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
            raise UserError(
                f"the network's {what} are not finite (NaN or infinity) for {len(bad)} of {len(values)} images "
                f"(number {shown} of the batch): such images cannot be attacked. Look at its weights and precision."
            )


def _require_pixels(pixels: Tensor, low: float, high: float) -> None:
    if not pixels.is_floating_point() or pixels.ndim < 2:
        raise UserError(
            f"pixels are {pixels.dtype} of shape {tuple(pixels.shape)}; an attack takes floats of shape "
            f"(n, channels, height, width) in {low:g} to {high:g}. Divide 8-bit images by 255."
        )
    if pixels.numel():
        least, most = pixels.min().item(), pixels.max().item()
        if not (low <= least and most <= high):
            raise UserError(
                f"pixels lie in {least:g} to {most:g}, not in {low:g} to {high:g}. An attack takes pixels before "
                "normalisation: give mean and std to the classifier; divide 8-bit images by 255."
            )


def _classes(classifier: Classifier, classes: Tensor, n_images: int, what: str) -> Tensor:
    if classes.shape != (n_images,) or classes.is_floating_point() or classes.dtype == torch.bool:
        raise UserError(
            f"{what} are {classes.dtype} of shape {tuple(classes.shape)}; {n_images} images need whole numbers of "
            f"shape ({n_images},)."
        )
    if n_images and not (classes.min() >= 0 and classes.max() < classifier.n_classes):
        raise UserError(
            f"{what} lie in {classes.min()} to {classes.max()}, but the network has {classifier.n_classes} classes: "
            f"0 to {classifier.n_classes - 1}."
        )
    return classes.long()
