"""Recipes: those that ship are the published ones, schedules against timm's, and what a file may not say."""

import dataclasses
import doctest
import importlib

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.training.loop import optimizer_of
from brainscore_submission.training.recipes import RECIPES, Adversary, flat, read_recipe, shipped_recipes
from brainscore_submission.training.schedules import learning_rate, radius_share

PAPER = ("rotation_adv_grey", "rotation_adv", "adv", "rotation", "plain")
KNOTS = (8e-5, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6)  # at epochs 0 to 6, of the released code


@pytest.mark.parametrize("module", ["recipes", "schedules", "validation"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"brainscore_submission.training.{module}"))
    assert found.attempted and not found.failed


def test_every_recipe_that_ships_reads_and_is_named_as_its_file():
    assert [one.name for one in shipped_recipes()] == sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_the_papers_recipes_differ_in_the_named_fields_only():
    tables = [flat(dataclasses.asdict(read_recipe(name))) for name in PAPER]
    differ = {key for key in tables[0] if len({repr(table[key]) for table in tables}) > 1}
    assert differ == {"name", "about", "objective.kind", "augmentation.rotations", "augmentation.grey"}
    facts = {
        name: (table["objective.kind"], table["augmentation.rotations"], table["augmentation.grey"])
        for name, table in zip(PAPER, tables, strict=True)
    }
    assert facts == {
        "rotation_adv_grey": ("fgsm", True, 0.25), "rotation_adv": ("fgsm", True, 0.0),
        "adv": ("fgsm", False, 0.0), "rotation": ("clean", True, 0.0), "plain": ("clean", False, 0.0),
    }  # fmt: skip
    recipe = read_recipe("rotation_adv_grey")
    assert recipe.adversary.within.eps == 2 / 255 and recipe.adversary.step == 1.25 and recipe.batch == 64


@pytest.mark.parametrize("recipe", shipped_recipes(), ids=lambda recipe: recipe.name)
def test_no_learning_rate_is_negative_or_above_its_peak(recipe):
    rates = [learning_rate(recipe.learning_rate, t, recipe.epochs, recipe.batch) for t in np.linspace(0, recipe.epochs)]
    peak = recipe.learning_rate.peak * recipe.batch / (recipe.learning_rate.per_images or recipe.batch)
    assert min(rates) > 0 and max(rates) <= max(peak, 2e-4)


def test_learning_rate_passes_through_the_papers_knots():
    recipe = read_recipe("rotation_adv_grey")
    times = np.linspace(0, 6, 61)
    ours = [learning_rate(recipe.learning_rate, t, 6, 64) for t in times]
    np.testing.assert_allclose(ours, np.interp(times, range(7), KNOTS), rtol=1e-12)
    assert learning_rate(recipe.learning_rate, 7, 6, 64) == KNOTS[-1]


def test_the_light_recipes_learning_rate_is_timms():
    recipe = read_recipe("light_xcit")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5e-4 * recipe.batch / 512)
    judge = CosineLRScheduler(optimizer, t_initial=100, lr_min=1e-5, warmup_t=10, warmup_lr_init=1e-6)
    for epoch in range(recipe.epochs):
        judge.step(epoch)
        ours = learning_rate(recipe.learning_rate, epoch, recipe.epochs, recipe.batch)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), epoch


def test_the_radius_warms_up_as_the_light_recipe_says():
    adversary = read_recipe("light_xcit").adversary
    radii = [radius_share(adversary, epoch) * adversary.within.eps * 255 for epoch in range(12)]
    np.testing.assert_allclose(radii, [0, 0.4, 0.8, 1.2, 1.6, 2, 2.4, 2.8, 3.2, 3.6, 4, 4], atol=1e-12)
    delayed = Adversary(warmup="linear", warmup_epochs=10, delay_epochs=2)
    assert [radius_share(delayed, t) for t in (0, 2, 6, 10, 20)] == [0, 0, 0.5, 1, 1]  # no jump at the end
    sine = Adversary(warmup="sine", warmup_epochs=10)
    shares = [radius_share(sine, t) for t in (0, 2.5, 5, 10, 20)]
    np.testing.assert_allclose(shares, [0, 0.5 * (1 - np.sqrt(0.5)), 0.5, 1, 1], atol=1e-12)


def test_weight_decay_is_coupled_for_the_paper_and_spares_norms_in_the_light_recipe():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    adam = optimizer_of(read_recipe("rotation_adv_grey"), network)
    assert type(adam) is torch.optim.Adam and {group["weight_decay"] for group in adam.param_groups} == {1e-4}
    decays = [group["weight_decay"] for group in optimizer_of(read_recipe("light_xcit"), network).param_groups]
    assert sorted(decays) == [0, 0.5]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([('"linf:4/255"', '"linf:4"')], "Did you mean 4/255?"),
        ([('"linf:4/255"', "\"linf:__import__('os')\"")], "is no number"),
        ([("epochs = 3", "epoch = 3")], "unknown key 'epoch'. Did you mean epochs?"),
        ([("epochs = 3", "epochs = 0")], "epochs = 0 is refused; it must be 1 or more"),
        ([("epochs = 3", "epochs = true")], "it must be a whole number"),
        ([("epochs = 3", "")], "epochs missing"),
        ([("batch = 50", 'batch = "50"')], "it must be a whole number"),
        ([("peak = 3e-3", "peak = -3e-3")], "must be 0 or more"),
        ([("peak = 3e-3", "peak = nan")], "must be 0 or more"),
        ([("peak = 3e-3", 'peak = "3/0"')], "'3/0' is no number"),
        ([("peak = 3e-3", "peak = 3e-3\nknots = [[0, 1], [1, 0]]")], "either knots or a peak"),
        ([("peak = 3e-3", "knots = [[0, 1], [0, 2]]")], "in order"),
        ([("peak = 3e-3", "knots = [[0, 1, 2]]")], "a list of 2"),
        ([("flip = 0.0", "flip = 1.5")], "it is a share"),
        ([("scale = [1.0, 1.0]", "scale = [0.0, 1.0]")], "from above 0 up to 1"),
        ([('kind = "fgsm"', 'kind = "fgms"')], "Did you mean fgsm?"),
        ([("[validation]", "[validation")], "not a TOML file"),
        ([('[objective]\nkind = "fgsm"', 'objective = "fgsm"')], "objective missing"),
        ([('threat = "linf:4/255"', 'warmup = "linear"')], "the radius never grows"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_in_one_line(recipe, changes, says):
    with pytest.raises(UserError) as refused:
        read_recipe(recipe(*changes))
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_an_unknown_recipe_names_those_that_are_there():
    with pytest.raises(UserError, match="there is no recipe 'rotation_adv_gray'. Did you mean rotation_adv_grey"):
        read_recipe("rotation_adv_gray")


def test_fractions_are_numbers(recipe):
    assert read_recipe(recipe(("peak = 3e-3", 'peak = "3/1000"'))).learning_rate.peak == 3 / 1000
