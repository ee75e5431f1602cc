"""The tutorial names every setting and metric there is, and its recordings.toml can be read."""

import re
from pathlib import Path

from brainscore_submission.recordings import METRICS
from brainscore_submission.recordings.manifest import KEYS, read_manifest

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial_recordings.md").read_text(encoding="utf-8")


def test_every_setting_and_metric_is_described():
    rows = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    assert [name for name in (*KEYS, *METRICS) if f"`{name}`" not in rows] == []


def test_its_manifest_is_read(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "my_v4_session").mkdir()
    (tmp_path / "my_v4_session" / "recordings.toml").write_text(block, encoding="utf-8")
    manifest = read_manifest(tmp_path / "my_v4_session")
    assert (manifest.name, manifest.area, manifest.time_window_ms) == ("my_v4_session", "V4", (50, 150))
