"""`python -m bench.training` measures each form of a step and says on what."""

import json

from bench.training import main


def test_the_bench_measures_every_form(tmp_path, capsys):
    out = tmp_path / "rows.json"
    assert main(["--network", "test_resnet", "--px", "32", "--batch", "4", "--steps", "1", "--out", str(out)]) == 0
    facts = json.loads(out.read_text())
    assert [row["form"] for row in facts["rows"]] == ["clean", "released", "ours"]
    assert all(row["images_per_s"] > 0 for row in facts["rows"]) and "CPU, 1 thread(s)" in capsys.readouterr().out
