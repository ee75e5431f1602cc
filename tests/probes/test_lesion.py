"""Lesions: share 0 is the intact network, and a share is what zeroing by hand between its parts gives."""

import numpy as np
import pytest
import torch

from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.accuracy import measure_accuracy
from brainscore_submission.probes.lesion import SHARES, Lesion, under_lesions, usual_sites, zeroed
from brainscore_submission.probes.perturbations import name_of, random_cells
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook

PIXELS = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def transformer():
    return open_model("timm:test_vit", weights="untrained", areas=(), device="cpu")


@pytest.fixture(scope="module")
def resnet():
    return open_model("timm:test_resnet", weights="untrained", areas=(), device="cpu")


@torch.no_grad()
def test_tokens_are_zeroed_before_a_block_and_the_class_token_is_kept(transformer):
    network = transformer.network.eval()
    tokens = network._pos_embed(network.patch_embed(PIXELS))
    tokens = network.blocks[:2](network.norm_pre(tokens))
    n_patches = tokens.shape[1] - network.num_prefix_tokens
    for row, name in enumerate(NAMES):
        hidden = random_cells((1, n_patches), 0.5, 0, f"{name} before blocks.2")[0]
        assert hidden.sum() == n_patches // 2
        tokens[row, network.num_prefix_tokens :][torch.from_numpy(hidden)] = 0
    wanted = network.forward_head(network.norm(network.blocks[2:](tokens)))
    with zeroed(network.blocks[2], Lesion(0.5, "blocks.2"), NAMES, network.num_prefix_tokens):
        found = network(PIXELS)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(network(PIXELS), found)  # and nothing is left of it afterwards


@torch.no_grad()
def test_places_are_zeroed_before_a_stage(resnet):
    network = resnet.network.eval()
    maps = network.layer1(network.maxpool(network.act1(network.bn1(network.conv1(PIXELS)))))
    for row, name in enumerate(NAMES):
        hidden = random_cells(maps.shape[-2:], 0.25, 0, f"{name} before layer2")
        maps[row, :, torch.from_numpy(hidden)] = 0
    wanted = network.forward_head(network.layer4(network.layer3(network.layer2(maps))))
    with zeroed(network.layer2, Lesion(0.25, "layer2"), NAMES):
        torch.testing.assert_close(network(PIXELS), wanted)


def test_share_0_is_the_intact_accuracy(transformer, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 160, 160, 3), dtype=np.uint8)
    np.savez(tmp_path / "val.npz", image=images, label=np.zeros(6, dtype=np.int64))
    shown = read_labelled_images(tmp_path / "val.npz", transformer.card.preprocessing)
    classifier = classifier_of(transformer)
    with torch.no_grad():
        answers = torch.cat([classifier(batch.pixels) for batch in shown.batches(8)]).argmax(1).numpy()
    book = RecordBook(transformer, shown, tmp_path / "results", suite="probes")
    levels = [Lesion(share, "blocks.2") for share in SHARES]
    found = measure_accuracy(book, classifier, levels, look=under_lesions(classifier, levels))
    np.testing.assert_array_equal(found.table["answer at 0"], answers)
    assert found.record.benchmark == "val.lesion.blocks.2" and name_of(levels) == "lesion.blocks.2"
    assert len(found.record.measured.settings["curve"]) == 4 and found.record.measured.metric == "lesion_accuracy"


def test_where_networks_are_lesioned(transformer, resnet):
    assert usual_sites(transformer.network) == ["blocks.0", "blocks.2", "blocks.4"]
    assert usual_sites(resnet.network) == ["layer1", "layer2", "layer3", "layer4", "global_pool"]
    with pytest.raises(UserError, match="say where, --before"):
        usual_sites(torch.nn.Flatten())
    with pytest.raises(UserError, match="what goes into fc is"), zeroed(resnet.network.fc, Lesion(0.5, "fc"), NAMES):
        resnet.network(PIXELS)
    with pytest.raises(UserError, match="0.5 for one half"):
        Lesion(25, "blocks.0")
