"""A recipe as data: frozen dataclasses, read from TOML; unknown keys are refused, fractions are read without eval.

No pydantic: the machine that trains may have torch and timm alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..attacks.threats import Threat, parse_number, parse_threat
from ..plugin.errors import UserError, suggest
from ..plugin.files import read_toml

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Start:
    """What is trained.

    Parameters
    ----------
    name : as after `--model`
    weights : "pretrained" (the card's own), "untrained", or a file
    num_classes, input_px : of the network, where they are not the card's; 0 leaves the card's
    drop_path : share of residual branches that are left out while training, where timm's network takes it
    """

    name: str
    weights: str = "pretrained"
    num_classes: int = 0
    input_px: int = 0
    drop_path: float = 0.0


@dataclass(frozen=True)
class Optimizer:
    """`adam` couples weight decay with the gradient and decays every weight, as torch does; `adamw` and `sgd` as timm.

    Parameters
    ----------
    weight_decay : of a step, before the learning rate
    clip_norm : gradients of a larger norm are shortened to it; 0 leaves them
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    clip_norm: float = 0.0


@dataclass(frozen=True)
class LearningRate:
    """Either `knots`, or a cosine from `peak` to `end` after a warm-up; see `schedules.learning_rate`.

    Parameters
    ----------
    knots : (epoch, learning rate), linear between them
    peak : of a batch of `per_images`; it grows with the batch. 0 where there are knots
    per_images : 0: the peak is meant as it is
    warmup_epochs, start : linear from `start` to the peak
    decay_epochs : from epoch 0; `end` holds from there on. 0 means all epochs
    """

    knots: tuple[tuple[float, float], ...] = ()
    peak: float = 0.0
    per_images: int = 0
    warmup_epochs: float = 0.0
    start: float = 0.0
    decay_epochs: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Objective:
    """What a step makes smaller; see `objectives`.

    Parameters
    ----------
    kind : "clean", "fgsm" (one step from a random start), "pgd", or "trades"
    label_smoothing : of the cross-entropy
    beta : weight of TRADES' divergence
    """

    kind: Literal["clean", "fgsm", "pgd", "trades"]
    label_smoothing: float = 0.0
    beta: float = 6.0


@dataclass(frozen=True)
class Adversary:
    """The attack within a step, and in the validation.

    Parameters
    ----------
    threat : norm and radius, "linf:2/255"
    steps : of "pgd" and "trades"
    step : length of one, in radii
    start : "random", uniform in the ball, or "image"
    mode : of the network while it is attacked; its BatchNorm statistics stay in both
    warmup : how the radius grows to its value over `warmup_epochs`, of which the first `delay_epochs` have none
    """

    threat: str = "linf:4/255"
    steps: int = 1
    step: float = 1.25
    start: Literal["random", "image"] = "random"
    mode: Literal["train", "eval"] = "train"
    warmup: Literal["none", "linear", "sine"] = "none"
    warmup_epochs: float = 0.0
    delay_epochs: float = 0.0

    @property
    def within(self) -> Threat:
        """The threat itself."""
        return parse_threat(self.threat)


@dataclass(frozen=True)
class Augmentation:
    """What becomes of an image before it is shown; see `augmentation.augmented`.

    Parameters
    ----------
    resize_px : short side, bicubic, before anything else; 0 leaves the image
    scale : area of the random crop, as a share of the image; (1, 1) is the centre square of the image
    flip, grey : probabilities
    rotations : by 0, 90, 180 or 270 degrees, each as likely
    rotation_canvas : "square", the crop is turned; "as_released", the image before it, with black bars
    jitter : brightness, contrast and saturation times 1 - jitter to 1 + jitter
    """

    resize_px: int = 256
    scale: tuple[float, float] = (0.08, 1.0)
    flip: float = 0.5
    grey: float = 0.0
    rotations: bool = False
    rotation_canvas: Literal["square", "as_released"] = "square"
    jitter: float = 0.0


@dataclass(frozen=True)
class Validation:
    """After each epoch: clean top-1 and top-5, one FGSM step as in training, and PGD; see `validation`.

    Parameters
    ----------
    images : at most so many, always the same; 0 means all
    steps, restarts : of PGD, within the adversary's threat
    share : of the training images held out where no other folder is given; drawn by the hashes of their names
    alarm : whether catastrophic overfitting stops the run
    """

    images: int = 2000
    steps: int = 10
    restarts: int = 2
    share: float = 0.02
    alarm: bool = True


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    name : as after `--recipe`
    about : one line
    batch : images of a step, over all processes
    seed : of order, noise, augmentation and dropped paths
    """

    name: str
    about: str
    epochs: int
    batch: int
    model: Start
    objective: Objective
    learning_rate: LearningRate
    optimizer: Optimizer = Optimizer()
    adversary: Adversary = Adversary()
    augmentation: Augmentation = Augmentation()
    validation: Validation = Validation()
    seed: int = 0


def shipped_recipes() -> list[Recipe]:
    """The recipes that come with the product, by name."""
    return [read_recipe(path.stem) for path in sorted(RECIPES.glob("*.toml"))]


def read_recipe(typed: str) -> Recipe:
    """Read a recipe: one that ships, by its name, or a TOML file.

    Raises
    ------
    UserError
        there is none, or file, key and value of the first mistake and what is allowed there
    """
    path = Path(typed) if typed.endswith(".toml") else RECIPES / f"{typed}.toml"
    if not path.is_file():
        names = [one.stem for one in sorted(RECIPES.glob("*.toml"))]
        raise UserError(f"there is no recipe '{typed}'.{suggest(typed, names)} A file of your own ends in .toml.")
    return recipe_from(read_toml(path, "recipe"), path.name)


def recipe_from(entries: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from its tables, as `dataclasses.asdict` gives them too.

    Raises
    ------
    UserError
        `where` they stand, key and value of the first mistake and what is allowed there
    """
    recipe = _table(Recipe, entries, where)
    for fault in _faults(recipe):
        raise UserError(f"{where}: {fault}")
    return recipe


def flat(facts: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Tables in tables as one table of dotted keys.

    >>> flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _table(kind: type, entries: Mapping[str, Any], where: str) -> Any:
    """Entries of a TOML table as a dataclass, each of its own type."""
    fields, types = {field.name: field for field in dataclasses.fields(kind)}, get_type_hints(kind)
    for key in entries:
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}'.{suggest(key, fields)}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in entries]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} missing. Possible are {', '.join(fields)}.")
    return kind(**{key: _value(types[key], value, f"{where}: {key}") for key, value in entries.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise UserError(f"{where} = {value!r} is refused; it must be a table.")
        return _table(kind, value, where)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, list | tuple) or (kinds[-1] is not ... and len(kinds) != len(value)):
            raise UserError(f"{where} = {value!r} is refused; it must be a list{_length(kinds)}.")
        return tuple(_value(kinds[0], one, where) for one in value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"{where} = {value!r} is refused.{suggest(value, get_args(kind))}")
        return value
    if kind is float and isinstance(value, str):
        return parse_number(value)
    numbers = (int, float) if kind is float else kind
    if not isinstance(value, numbers) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number or a fraction in quotes", str: "text", bool: "true or false"}
        raise UserError(f"{where} = {value!r} is refused; it must be {words[kind]}.")
    return float(value) if kind is float else value


def _length(kinds: tuple) -> str:
    return "" if kinds[-1] is ... else f" of {len(kinds)}"


def _faults(recipe: Recipe) -> Iterator[str]:
    """What is wrong with a recipe beyond the types of its values."""
    rate, adversary, augmentation, validation = (
        recipe.learning_rate, recipe.adversary, recipe.augmentation, recipe.validation
    )  # fmt: skip
    for table, value in flat(dataclasses.asdict(recipe)).items():
        for number in _numbers(value):
            if not math.isfinite(number) or number < 0:
                yield f"{table} = {number} is refused; it must be 0 or more."
    for name, number in (("epochs", recipe.epochs), ("batch", recipe.batch), ("adversary.steps", adversary.steps)):
        if number < 1:
            yield f"{name} = {number} is refused; it must be 1 or more."
    if validation.steps < 1 or validation.restarts < 1:
        yield "validation needs 1 or more steps and restarts."
    yield from _faults_of_rate(rate)
    shares = {
        "augmentation.flip": augmentation.flip, "augmentation.grey": augmentation.grey,
        "augmentation.jitter": augmentation.jitter, "model.drop_path": recipe.model.drop_path,
        "objective.label_smoothing": recipe.objective.label_smoothing, "validation.share": validation.share,
    }  # fmt: skip
    for name, share in shares.items():
        if share > 1 or (share == 1 and name in ("model.drop_path", "objective.label_smoothing", "validation.share")):
            yield f"{name} = {share} is refused; it is a share, below 1."
    if not 0 < augmentation.scale[0] <= augmentation.scale[1] <= 1:
        yield f"augmentation.scale = {list(augmentation.scale)} is refused; it goes from above 0 up to 1."
    try:
        parse_threat(adversary.threat)
    except UserError as error:
        yield f"adversary.threat: {error}"
    if adversary.warmup != "none" and adversary.warmup_epochs <= adversary.delay_epochs:
        yield "adversary.warmup_epochs must be above delay_epochs, else the radius never grows."


def _faults_of_rate(rate: LearningRate) -> Iterator[str]:
    epochs = [epoch for epoch, _ in rate.knots]
    if bool(rate.knots) == bool(rate.peak):
        yield "learning_rate needs either knots or a peak."
    if len(epochs) == 1 or epochs != sorted(set(epochs)) or (epochs and epochs[0] != 0):
        yield "learning_rate.knots are pairs (epoch, rate), two or more, from epoch 0 on, in order."


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple | list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
