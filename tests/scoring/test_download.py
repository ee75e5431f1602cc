"""The way from Brain-Score's storage to the table: its own fetching code, files in its true format, a server here.

Nothing is replaced but the address of the storage and the hashes that the registry holds.
"""

import contextlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import boto3
import numpy as np
import pytest
from loopback import Wire, emptied_bucket, s3_listening

from brainscore_submission.scoring.downloads import find_netcdf_readers
from brainscore_submission.scoring.suites import BadData, find_suite, load

# Of xarray, on Python's own interface.
pytestmark = pytest.mark.filterwarnings("ignore:SelectableGroups dict interface is deprecated:DeprecationWarning")

ROOT = Path(__file__).parents[2]
OWN_HASHES = Path(__file__).with_name("own_hashes")
LAYERS = "V1=layer1,V2=layer2,V4=layer3,IT=layer4,behavior=global_pool"
BUCKET = "brainscore-storage"
# The one file of the public suite that the registry names by a version; the others are from before versioning.
VERSIONED = "movshon.FreemanZiemba2013.public.nc"
IN_RANGES = "dicarlo.Rajalingham2018.public.nc"  # the one above the 8 MB from which boto fetches a file in two pieces
STIMULI = ("FreemanZiemba2013.aperture-public", "hvm-public", "objectome.public")
ASSEMBLIES = (VERSIONED, "dicarlo.MajajHong2015.public.nc", IN_RANGES)
FILES = sorted([*ASSEMBLIES, *(f"{name}.{kind}" for name in STIMULI for kind in ("csv", "zip"))])
# By default one file of each kind.
BY_DEFAULT = (VERSIONED, "hvm-public.csv", "objectome.public.zip")
EACH_FILE = [pytest.param(file, marks=[] if file in BY_DEFAULT else pytest.mark.slow) for file in FILES]
V1, V2, V4, IT, BEHAVIOR = PUBLIC = tuple(find_suite("public").leaves)
USED_BY = {
    "FreemanZiemba": (V1, V2),
    "hvm": (V4, IT),
    "MajajHong": (V4, IT),
    "objectome": (BEHAVIOR,),
    "Rajalingham": (BEHAVIOR,),
}


@pytest.fixture(scope="module", autouse=True)
def read_by_brainscore_alone():
    """Where a test calls Brain-Score itself, on a Python newer than its xarray."""
    find_netcdf_readers()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from stand_ins.storage import packaged

    return packaged(tmp_path_factory.mktemp("packaged"))


@pytest.fixture(scope="module")
def server():
    with s3_listening() as address:
        yield address


class Storage:
    """The storage with these files, a wire before it, and what a program needs to be told to use it.

    Parameters
    ----------
    private : identifier of the file that is not for everybody
    spoilt : identifier of the file of which one byte is wrong
    cut : identifier of the file that never comes whole
    """

    def __init__(self, owner, target, files, folder, private=None, spoilt=None, cut=None):
        self.owner = owner
        self.files = {file.identifier: file for file in files}
        self.private, self.spoilt, self.cut = private, spoilt, cut
        self.cache, self.hashes = folder / "brainio", folder / "hashes.json"
        self.wire = Wire(target, cut_of=self.cut_of)
        self.fill()

    def fill(self):
        registered = {name: {"sha1": file.sha1, "version_id": "null"} for name, file in self.files.items()}
        for name in set(self.files) - {VERSIONED}:
            self.put(name)
        self.owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        registered[VERSIONED]["version_id"] = self.put(VERSIONED)
        self.hashes.write_text(json.dumps(registered))
        later = self.files[VERSIONED].key
        self.owner.put_object(Bucket=BUCKET, Key=later, Body=b"a later upload", ACL=self.access(VERSIONED))

    def access(self, name):
        return "private" if name == self.private else "public-read"

    def put(self, name):
        content = bytearray(self.files[name].path.read_bytes())
        if name == self.spoilt:
            content[len(content) // 2] ^= 1
        put = self.owner.put_object(Bucket=BUCKET, Key=self.files[name].key, Body=bytes(content), ACL=self.access(name))
        return put.get("VersionId")

    def cut_of(self, request):
        wanted = self.cut and request.startswith("GET") and self.files[self.cut].key in request
        # Half of the file; of one that comes in two pieces, part of each.
        return min(self.files[self.cut].path.stat().st_size // 2, 100_000) if wanted else None

    def mend(self):
        """The same storage with nothing wrong in it; of the versioned file the right one is the registered one."""
        self.private = self.spoilt = self.cut = None
        for version in self.owner.list_object_versions(Bucket=BUCKET)["Versions"]:
            self.owner.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
        self.owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
        self.fill()

    def environment(self):
        return {
            "AWS_ENDPOINT_URL": self.wire.address,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "BRAINIO_HOME": str(self.cache),
            "STORED_HASHES": str(self.hashes),
        }

    def fetched(self):
        """How often each file was asked for, whole or in part."""
        asked = [request.split()[1].partition("?")[0] for request in self.wire.asked if request.startswith("GET")]
        names = {f"/{BUCKET}/{file.key}": name for name, file in self.files.items()}
        return Counter(names[path] for path in asked)

    def left_over(self):
        """Names of the files in the cache, pictures aside."""
        return {path.name for path in self.cache.glob("*/*") if path.is_file()}


@pytest.fixture
def store(server, files, tmp_path):
    """`store(**what_is_wrong)`: the storage, listening."""
    with contextlib.ExitStack() as stack:

        def listening(**wrong):
            owner = stack.enter_context(emptied_bucket(server, BUCKET))
            storage = Storage(owner, server, files, tmp_path, **wrong)
            stack.enter_context(storage.wire)
            return storage

        yield listening


@pytest.fixture
def evaluate(tmp_path):
    """`evaluate(storage, *words)`: the program on the suite `public`, its exit code and what it says."""
    command = [sys.executable, str(ROOT / "evaluate.py"), "--model", "timm:test_resnet", "--weights", "untrained"]
    command += ["--layers", LAYERS, "--suite", "public"]
    own = {"PYTHONPATH": str(OWN_HASHES), "HOME": str(tmp_path), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    own |= {"BRAINSCORE_HOME": str(tmp_path / "brain-score"), "RESULTCACHING_HOME": str(tmp_path / "results-cache")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def run(storage, *words):
        environment = kept | own | storage.environment()
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )

    return run


@pytest.fixture
def here(monkeypatch):
    """`here(storage)`: from now on Brain-Score's code in this process fetches from there."""
    from brainscore_core.supported_data_standards.brainio import fetch, s3

    own = s3.get_path

    def turn(storage):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in storage.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(fetch, "_local_data_path", None)  # read from the environment once
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        monkeypatch.setattr(s3, "get_path", own)
        runpy.run_path(str(OWN_HASHES / "sitecustomize.py"))

    return turn


def used_by(name):
    """The benchmarks that need a file."""
    return next(identifiers for word, identifiers in USED_BY.items() if word in name)


def outcome(done):
    """What ``--json`` says: its facts, and the records by benchmark."""
    facts = json.loads(done.stdout)
    return facts, {record["benchmark"]: record for record in facts["records"]}


def refusal(identifier):
    """Why the product does not score a benchmark, in its words."""
    with pytest.raises(BadData) as refused:
        load(identifier, find_suite("public"))
    return str(refused.value)


def test_the_public_suite_ends_with_the_table(evaluate, store, tmp_path):
    storage = store()
    done = evaluate(storage)
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    assert ["area", "scores", "V1", "V2", "V4", "IT", "behavior", "Avg"] in table
    today = next(words[2:] for words in table if words[:2] == ["today,", "r²/c"])
    *areas, average = (float(value) for value in today)
    assert average == pytest.approx(sum(areas) / 5, abs=1e-3)  # each is rounded
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert {record["benchmark"]: record["status"] for record in records} == dict.fromkeys(PUBLIC, "scored")
    assert set(storage.fetched()) == set(FILES)


def test_a_file_that_s3_refuses_is_no_access_and_the_rest_is_scored(evaluate, store):
    done = evaluate(store(private=VERSIONED), "--json")
    facts, records = outcome(done)
    for name, record in records.items():
        assert record["status"] == ("no access" if name in (V1, V2) else "scored")
        assert record["reason"] == ("no credentials for this data" if name in (V1, V2) else None)
    assert (done.returncode, facts["average"], facts["areas"]["V1"]) == (1, None, None)
    assert facts["areas"]["behavior"] is not None
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("wrong", "file", "said"),
    [
        pytest.param("spoilt", VERSIONED, "is not the file that Brain-Score registers", marks=pytest.mark.slow),
        ("cut", "hvm-public.zip", "connection broke"),
    ],
)
def test_a_broken_file_is_one_line_and_the_rest_is_scored(wrong, file, said, evaluate, store):
    storage = store(**{wrong: file})
    done = evaluate(storage, "--json")
    facts, records = outcome(done)
    for name, record in records.items():
        assert record["status"] == ("failed" if name in used_by(file) else "scored")
        if name in used_by(file):
            assert said in record["reason"] and storage.files[file].path.name in record["reason"]
            assert f"{name}: failed ({record['reason']})" in done.stderr.splitlines()
    assert (done.returncode, facts["average"]) == (1, None)
    assert "Traceback" not in done.stderr


def test_load_benchmark_fetches_each_file_once_and_as_it_was(store, here, files, monkeypatch):
    import brainscore_vision
    from stand_ins import electrophysiology

    storage = store()
    here(storage)
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")  # Brain-Score keeps what it made of FreemanZiemba2013
    for _ in range(2):
        for identifier in PUBLIC:
            assert brainscore_vision.load_benchmark(identifier)._assembly.sizes["presentation"] >= 70
    assert storage.fetched() == Counter(dict.fromkeys(FILES, 1)) | Counter({IN_RANGES: 2})
    loaded = brainscore_vision.load_dataset("MajajHong2015.public")
    made = electrophysiology.majajhong(files[0].path.parent, "public")
    assert np.array_equal(loaded.values, made.values)
    assert list(loaded["object_name"].values) == list(made["object_name"].values)  # merged from the CSV
    assert b"".join(path.read_bytes() for path in loaded.stimulus_set.stimulus_paths.values()) == b"".join(
        path.read_bytes() for path in made.stimulus_set.stimulus_paths.values()
    )


@pytest.mark.parametrize("file", EACH_FILE)
def test_one_wrong_byte_is_refused_until_the_file_is_deleted(file, store, here):
    """Brain-Score leaves the file in its cache: it is never taken for the right one, the user is told where it is."""
    storage = store(spoilt=file)
    here(storage)
    identifier = used_by(file)[0]
    reason = refusal(identifier)
    folder = storage.cache / storage.files[file].sha1
    assert reason.startswith(f"{storage.files[file].path.name} is not the file that Brain-Score registers")
    assert reason.endswith(f"delete {folder} and run again")
    storage.mend()
    here(storage)
    assert refusal(identifier) == reason
    assert storage.fetched()[file] == (2 if file == IN_RANGES else 1)
    shutil.rmtree(folder)
    load(identifier, find_suite("public"))


@pytest.mark.parametrize("file", EACH_FILE)
def test_a_file_cut_half_way_leaves_nothing_and_the_next_run_fetches_it(file, store, here):
    storage = store(cut=file)
    here(storage)
    identifier, name = used_by(file)[0], storage.files[file].path.name
    address = f"s3://{BUCKET}/{storage.files[file].key}"
    assert refusal(identifier) == (
        f"the connection broke before all of {address} had come. Nothing of it is kept: run again"
    )
    assert not [left for left in storage.left_over() if left.startswith(name)]
    storage.cut = None
    load(identifier, find_suite("public"))


def test_what_was_kept_of_an_earlier_run_does_not_hide_a_wrong_file(store, here):
    """Brain-Score keeps the assembly of FreemanZiemba2013 by its name, and would look at no hash any more."""
    import brainscore_vision

    storage = store()
    here(storage)
    brainscore_vision.load_benchmark(V1)
    kept = list(Path(os.environ["RESULTCACHING_HOME"]).rglob("*freemanziemba2013*/*.pkl"))
    try:
        assert kept
        file = next(storage.cache.glob(f"*/{storage.files[VERSIONED].path.name}"))
        file.write_bytes(file.read_bytes()[:-1])
        brainscore_vision.load_benchmark(V1)
        assert refusal(V1).startswith(f"{file.name} is not the file that Brain-Score registers")
    finally:
        for path in kept:
            path.unlink()


def test_pictures_that_were_not_all_unpacked_are_refused(store, here):
    """Brain-Score unpacks once; killed meanwhile, it takes what is there for all of it ever after."""
    storage = store()
    here(storage)
    unpacked = load(V4, find_suite("public"))._assembly.stimulus_set.stimulus_paths
    next(iter(unpacked.values())).unlink()
    folder = next(iter(unpacked.values())).parent
    assert refusal(V4) == f"{folder} does not hold the pictures of its table: delete that folder and run again"
    shutil.rmtree(folder)
    load(V4, find_suite("public"))


def test_a_version_that_is_not_in_the_storage_is_named(store, here):
    storage = store()
    registered = json.loads(storage.hashes.read_text())
    registered["hvm-public.csv"]["version_id"] = "0" * 32
    storage.hashes.write_text(json.dumps(registered))
    here(storage)
    assert refusal(V4).startswith(f"s3://{BUCKET}/{storage.files['hvm-public.csv'].key} could not be fetched: An error")
