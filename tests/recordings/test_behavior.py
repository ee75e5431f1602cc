"""Human choices from trials.csv are scored as Brain-Score scores Rajalingham 2018."""

import warnings

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
from brainscore_vision import load_metric
from brainscore_vision.benchmark_helpers import PrecomputedFeatures

from brainscore_submission.recordings import FolderError, benchmarks, check, read_recordings, recordings_suite
from brainscore_submission.scoring.fast_metrics import make_job
from brainscore_submission.scoring.measured import score_job

OBJECTS = ("bear", "car", "dog", "ship")


def _label(index):
    return OBJECTS[index % len(OBJECTS)]


@pytest.fixture
def choice_folder(lab_folder, names, write_toml):
    """Make 24 images with 36 trials each and 16 images without, whose role is fit; no responses."""
    (lab_folder / "responses.npy").unlink()
    lines = [f"{name},{_label(index)},{'test' if index < 24 else 'fit'}" for index, name in enumerate(names)]
    (lab_folder / "stimuli.csv").write_text("file,object_name,role\n" + "\n".join(lines))
    (lab_folder / "trials.csv").write_text("\n".join(_trials(names[:24])))
    return write_toml(lab_folder, area=None, time_window_ms=None)


def _trials(names, n_trials=12):
    random = np.random.default_rng(0)
    yield "stimulus,sample_object,distractor,choice,subject"
    for index, name in enumerate(names):
        sample, ease = _label(index), random.uniform(0.55, 0.95)
        for distractor in OBJECTS:
            for trial in range(n_trials if distractor != sample else 0):
                choice = sample if random.random() < ease else distractor
                yield f"{name},{sample},{distractor},{choice},s{trial % 3}"


def _candidate(names):
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(len(OBJECTS)), size=len(names))
    coords = {
        "stimulus_id": ("presentation", names),
        "stimulus_file_name": ("presentation", names),
        "choice": ("choice", list(OBJECTS)),
    }
    return PrecomputedFeatures(
        BehavioralAssembly(probabilities, coords=coords, dims=["presentation", "choice"]), visual_degrees=8
    )


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # Brain-Score's i2n, called by hand
def test_the_score_is_brain_scores_i2n_over_the_root_of_the_ceiling(choice_folder, names):
    recordings = read_recordings(choice_folder)
    ((load_id, build),) = benchmarks(recordings).items()
    assert load_id == "recordings.my_session.behavior-i2n"
    candidate = _candidate(names[:24])
    score = build()(candidate)
    metric, target = load_metric("i2n"), _by_hand(choice_folder)
    raw, ceiling = metric(candidate.features.copy(), target), metric.ceiling(target)
    expected = (raw.raw.values / np.sqrt(ceiling.raw.values)).mean()
    assert float(score.raw) == pytest.approx(float(raw), abs=1e-12)
    assert float(score) == pytest.approx(expected, abs=1e-12)
    assert 0 < float(score.ceiling) < 1


def _by_hand(folder):
    lines = [line.split(",") for line in (folder / "trials.csv").read_text().splitlines()[1:]]
    lines.sort(key=lambda line: (line[1], line[2], line[3], line[4], line[0]))  # the one order of trials
    stimulus, sample, distractor, choice, _ = zip(*lines, strict=True)
    fields = {"stimulus_id": stimulus, "sample_obj": sample, "dist_obj": distractor, "truth": sample}
    coords = {name: ("presentation", list(values)) for name, values in fields.items()}
    return BehavioralAssembly(list(choice), coords=coords, dims=["presentation"])


def test_the_readout_is_fitted_to_images_without_trials(choice_folder, names):
    (build,) = benchmarks(read_recordings(choice_folder)).values()
    candidate = _candidate(names[:24])
    seen = {}
    candidate.start_task = lambda task, stimuli: seen.update(task=task, fitted=stimuli)
    look_at = candidate.look_at
    candidate.look_at = lambda stimuli, number_of_trials: seen.update(tested=stimuli) or look_at(stimuli)
    build()(candidate)
    assert list(seen["fitted"]["stimulus_id"]) == names[24:]
    assert list(seen["fitted"]["image_label"]) == [_label(index) for index in range(24, 40)]
    assert list(seen["tested"]["stimulus_id"]) == names[:24]


def test_fitting_and_testing_on_the_same_images_is_called_optimistic(choice_folder, names):
    lines = [f"{name},{_label(index)}" for index, name in enumerate(names)]
    (choice_folder / "stimuli.csv").write_text("file,object_name\n" + "\n".join(lines))
    report = check(choice_folder)
    assert report.ok and any("optimistic" in finding.message for finding in report.findings)
    (build,) = benchmarks(read_recordings(choice_folder)).values()
    assert np.isfinite(float(build()(_candidate(names[:24]))))


def test_responses_and_choices_live_in_one_folder(choice_folder, responses, write_toml):
    np.save(choice_folder / "responses.npy", responses)
    suite = recordings_suite(read_recordings(write_toml(choice_folder, name="both")))
    assert suite.leaves == {"recordings.both.V4-pls": "V4", "recordings.both.behavior-i2n": "behavior"}
    report = check(choice_folder)
    assert report.ceilings["V4"] > 0 and report.ceilings["behavior"] > 0


REFUSED = {
    "no object names": ("stimuli.csv", lambda text: text.replace("object_name", "thing"), "need the object in every"),
    "an unknown role": ("stimuli.csv", lambda text: text.replace(",fit", ",train", 1), "role 'train'"),
    "a fitting image with trials": ("stimuli.csv", lambda text: text.replace(",test", ",fit", 1), "role fit in trials"),
    "nothing to fit": ("stimuli.csv", lambda text: text.replace(",fit", ",test"), "no stimulus has the role fit"),
    "two names for an object": ("stimuli.csv", lambda text: text.replace("bear,test", "Bear,test"), "shows 'bear'"),
    "an object never fitted": ("stimuli.csv", lambda text: text.replace("bear,fit", "car,fit"), "differ: bear"),
    "a single trial": (
        "trials.csv",
        lambda text: (
            "\n".join([line for line in text.splitlines() if "s00.png" not in line]) + "\ns00.png,bear,car,bear,s1"
        ),
        "a random half of them lacks s00.png",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_choices_that_cannot_be_compared_are_refused(case, choice_folder):
    name, change, message = REFUSED[case]
    path = choice_folder / name
    path.write_text(change(path.read_text()))
    (build,) = benchmarks(read_recordings(choice_folder)).values()
    with pytest.raises(FolderError, match=message) as caught:
        build()
    report = check(choice_folder)
    assert not report.ok and report.findings[0] == caught.value.finding


def test_a_stimulus_with_two_sample_objects_is_refused(choice_folder):
    path = choice_folder / "trials.csv"
    path.write_text(path.read_text() + "\ns00.png,dog,car,dog,s1\n")
    with pytest.raises(FolderError, match=r"s00\.png has 2 sample objects"):
        read_recordings(choice_folder)


def _rewrite(folder, change):
    head, *lines = (folder / "trials.csv").read_text().splitlines()
    (folder / "trials.csv").write_text("\n".join([head, *change(lines)]))
    return folder


def _score(folder, names):
    (build,) = benchmarks(read_recordings(folder)).values()
    return build()(_candidate(names[:24]))


def test_the_order_of_the_lines_moves_nothing(choice_folder, names):
    before = _score(choice_folder, names)
    _rewrite(choice_folder, lambda lines: np.random.default_rng(0).permutation(lines).tolist())
    after = _score(choice_folder, names)
    assert (float(after), float(after.ceiling)) == (float(before), float(before.ceiling))


@pytest.mark.slow
def test_how_much_the_random_halves_move_is_said_and_true(choice_folder, names):
    (note,) = _score(choice_folder, names).attrs["notes"]
    said = float(note.rsplit("±")[1])
    # The judge: Brain-Score's own metric over the trials in other orders.
    metric, probabilities, target = load_metric("i2n"), _candidate(names[:24]).features, _by_hand(choice_folder)
    scores = []
    for seed in range(12):
        shuffled = target[np.random.default_rng(seed).permutation(len(target))]
        with warnings.catch_warnings(action="ignore"):
            raw, ceiling = metric(probabilities.copy(), shuffled), metric.ceiling(shuffled, skipna=True)
        scores.append((raw.raw.values / np.sqrt(ceiling.raw.values)).mean())
    assert 0.4 * np.std(scores) < said < 2.5 * np.std(scores)
    assert "moves the ceiling by ±" in " ".join(finding.message for finding in check(choice_folder).findings)


@pytest.mark.parametrize("part", ["all of them", pytest.param("some", marks=pytest.mark.slow)])
def test_trials_pasted_in_twice_are_remarked_on(part, choice_folder):
    def remarks():
        return [finding.message for finding in check(choice_folder).findings if "pasted in twice" in finding.message]

    assert remarks() == []
    once = check(choice_folder).ceilings["behavior"]
    if part == "some":
        head, *lines = (choice_folder / "trials.csv").read_text().splitlines()
        (choice_folder / "trials.csv").write_text("\n".join([f"{head},time", *map("{},{}".format, lines, range(864))]))
    _rewrite(choice_folder, lambda lines: [*lines, *(lines if part != "some" else lines[100:800])])
    (said,) = remarks()
    assert ("lines 102 to 121 stand there again from line 866" if part == "some" else "there 2 times") in said
    assert check(choice_folder).ceilings["behavior"] > once


@pytest.mark.parametrize("right", [True, False])
def test_always_right_or_always_wrong_is_refused_before_scoring(right, choice_folder):
    def answer(line):
        stimulus, sample, distractor, _, subject = line.split(",")
        return ",".join([stimulus, sample, distractor, sample if right else distractor, subject])

    _rewrite(choice_folder, lambda lines: [answer(line) for line in lines])
    report = check(choice_folder)
    message = "every choice of 864 trials is right" if right else "no choice of 864 trials is right"
    assert not report.ok and message in report.findings[0].message
    (build,) = benchmarks(read_recordings(choice_folder)).values()
    with pytest.raises(FolderError, match=message):
        build()


def test_a_blank_choice_is_a_trial_without_answer(choice_folder):
    _rewrite(choice_folder, lambda lines: [*lines[:-1], ",".join([*lines[-1].split(",")[:3], " ", "s1"])])
    report = check(choice_folder)
    assert report.ok and report.understood["choices"].startswith("863 trials")
    assert "trials.csv: 1 of 864 trials without a choice, left out." in [finding.message for finding in report.findings]


@pytest.fixture
def torn_folder(choice_folder, names):
    """Choices near chance, whose ceiling is above 0 in one split and below in the other."""
    lines = ["stimulus,sample_object,distractor,choice,subject"]
    random = np.random.default_rng(0)
    for index, name in enumerate(names[:24]):
        sample, ease = _label(index), random.uniform(0.5, 0.62)
        for distractor in OBJECTS:
            for trial in range(6 if distractor != sample else 0):
                choice = sample if random.random() < ease else distractor
                lines.append(f"{name},{sample},{distractor},{choice},s{trial % 3}")
    (choice_folder / "trials.csv").write_text("\n".join(lines))
    return choice_folder


def test_a_split_below_0_is_warned_of_and_leaves_no_interval(torn_folder, names):
    report = check(torn_folder)
    assert 0 < report.ceilings["behavior"] < 0.1
    (message,) = [finding.message for finding in report.findings if finding.severity == "warning"]
    assert "below 0 in 1 of 2 splits: no reliable signal; scores against it mean nothing" in message
    ((load_id, build),) = benchmarks(read_recordings(torn_folder)).items()
    job = make_job(load_id, "behavior", build(), "brainscore")
    record, _ = score_job(job, _candidate(names[:24]), _envelope(load_id))
    assert record.measured.interval is None and record.measured.score_error is None
    assert any("the ceiling of 1 of 2 splits is not above 0" in note for note in record.notes)


def _envelope(load_id):
    return {
        "model": "m",
        "card": "m",
        "suite": "s",
        "benchmark": load_id,
        "area": "behavior",
        "fingerprint": "f",
        "versions": {},
        "created": "2022-05-01",
    }
