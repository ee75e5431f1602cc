"""`python -m bench.probes` sets five levels beside one: five times the recording passes, and no more."""

import pytest

from bench.probes import main

pytestmark = pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns:UserWarning")


@pytest.mark.slow
def test_five_levels_take_five_recordings(capsys, demo_cache, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    assert main(["--areas", "V1", "--repeats", "1"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    one, five, ratio = ({"levels": row[0].strip(), "passes": float(row[3])} for row in rows[2:])
    assert (one["levels"], five["levels"], ratio["levels"]) == ("1", "5", "ratio")
    assert one["passes"] == 100 + 4 and five["passes"] == 5 * one["passes"] and ratio["passes"] == 5
