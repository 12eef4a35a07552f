"""``assay encode`` and ``assay decode``: round trips, and streams that are refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from assay.cli.decode import read
from assay.mdl.wire import BitstreamError
from safetensors.numpy import load_file

MAIN = [sys.executable, "-m", "assay.cli.main"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small stream ``a.assay`` and the activations ``a.npy`` it was made from."""
    folder = tmp_path_factory.mktemp("stream")
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    np.save(folder / "a.npy", x)
    words = ["encode", "--activations", "a.npy", "--delta", "0.25", "--explain", "pca", "-o", "a.assay"]
    done = subprocess.run([*MAIN, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", [".npy", ".safetensors"])
def test_another_process_gets_the_activations_on_their_grid(small, kind):
    done = subprocess.run(
        [*MAIN, "decode", "a.assay", "-o", f"out{kind}", "--json"],
        cwd=small,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert (about["rows"], about["width"], about["delta"]) == (12, 3, 0.25)
    path = small / f"out{kind}"
    got = np.load(path, allow_pickle=False) if kind == ".npy" else load_file(path)["values"]
    wanted = np.round(np.load(small / "a.npy").astype(np.float64) / 0.25) * 0.25
    assert np.array_equal(got, wanted)


def test_what_was_decoded_scores_again(small, run):
    words = ["--activations", small / "a.npy", "--delta", "0.25", "--explain", "neurons", "--json"]
    before = json.loads(run("score", *words).stdout)["ledger"]
    assert run("decode", small / "a.assay", "-o", "back.safetensors").exit_code == 0
    words[1] = "back.safetensors"
    assert json.loads(run("score", *words).stdout)["ledger"] == before


def test_a_stream_is_about_as_long_as_its_ledger(run):
    made = run(
        "encode", "zoo:tms-5-2", "--site", "hook_hidden", "--delta", "0.01", "--limit", "2000",
        "--explain", "neurons", "-o", "a.assay", "--json",
    )  # fmt: skip
    about = json.loads(made.stdout)
    assert about["bytes"] == Path("a.assay").stat().st_size
    assert 0 < 8 * about["bytes"] / about["ledger_bits"] - 1 < 0.02


def test_every_damaged_byte_is_seen(small, tmp_path):
    whole = (small / "a.assay").read_bytes()
    path = tmp_path / "damaged.assay"
    for i in range(len(whole)):
        for wrong in (whole[i] ^ 1, whole[i] ^ 0x80, 255 - whole[i]):
            path.write_bytes(whole[:i] + bytes([wrong]) + whole[i + 1 :])
            with pytest.raises(BitstreamError):
                read(path, 2**30)


def test_every_truncation_is_seen(small, tmp_path):
    whole = (small / "a.assay").read_bytes()
    path = tmp_path / "cut.assay"
    for length in [*range(len(whole)), len(whole) + 4]:
        path.write_bytes((whole + bytes(4))[:length])
        with pytest.raises(BitstreamError):
            read(path, 2**30)


def sealed(body: bytes, note: bytes = b"") -> bytes:
    """A stream with a fitting checksum around a body."""
    rest = struct.pack("<II", 0, len(note)) + note + body
    return b"ASSAY\x02\x00\x00" + struct.pack("<I", zlib.crc32(rest)) + rest


@pytest.mark.parametrize("seed", range(60))
def test_a_hostile_stream_with_a_fitting_checksum_is_refused(small, tmp_path, seed):
    rng = np.random.default_rng(seed)
    body = bytearray((small / "a.assay").read_bytes()[20:])
    if seed % 2:
        body = bytearray(rng.bytes(4 * int(rng.integers(1, 40))))
    else:
        for i in rng.integers(len(body), size=3):
            body[i] ^= int(rng.integers(1, 256))
    path = tmp_path / "hostile.assay"
    path.write_bytes(sealed(bytes(body)))
    with pytest.raises(BitstreamError, match=r"hostile\.assay: "):
        read(path, 2**28)


def test_random_bytes_are_refused_in_one_line(run):
    Path("noise.assay").write_bytes(np.random.default_rng(1).bytes(400))
    done = run("decode", "noise.assay", "-o", "out.npy")
    assert done.exit_code == 2
    assert done.stderr == "Error: noise.assay: not an assay stream: it does not begin with ASSAY\n"
    assert not Path("out.npy").exists()


def test_a_stream_that_needs_more_memory_than_allowed_is_refused(small, run):
    done = run("decode", small / "a.assay", "--memory", "1K")
    assert done.exit_code == 2
    assert "more than this reads" in done.stderr


def test_an_unknown_kind_of_output_is_refused(small, run):
    done = run("decode", small / "a.assay", "-o", "out.pt")
    assert done.exit_code == 2
    assert ".npy or .safetensors" in done.stderr


def test_the_audit_measures_the_stream_that_encode_writes(run):
    words = ["zoo:tms-5-2", "--site", "hook_hidden", "--delta", "0.05", "--limit", "200", "--explain", "pca"]
    assert run("encode", *words, "-o", "a.assay").exit_code == 0
    report = json.loads(run("score", *words, "--audit", "--json").stdout)
    assert report["checks"]["bitstream_bits"] == 8 * Path("a.assay").stat().st_size
    shown = run("score", *words, "--audit").stdout
    assert "audit of PCA: bitstream of" in shown
    assert ("the ledger beats both" in shown) == (
        report["ledger"]["total"] < min(report["checks"]["xz_bits"], report["checks"]["zstd_bits"])
    )
    assert "bitstream_bits" not in json.loads(run("score", *words, "--json").stdout)["checks"]


OUTPUTS = {
    "a mechanism on a grid": ("zoo:tms-5-2 --setting mechanism --delta 0.05 --limit 200", "network"),
    "coefficients or encoder rows": ("zoo:tms-5-2 --setting mechanism --delta 0.05 --limit 60", "neurons"),
    "outcomes of a classifier": ("zoo:max-of-4 --setting mechanism --limit 50 --part-bits 8", "network"),
    "answers of a classifier": ("zoo:digits --setting mechanism --target answers --limit 90", "answers"),
    "outputs behind a site": ("zoo:digits --site hook_hidden --target outputs --limit 60 --delta 0.5", "pca"),
}


@pytest.fixture(scope="module")
def site_of_digits() -> str:
    from assay.models import load

    return next(
        site for site in load("zoo:digits").sites() if "post" in site or "hidden" in site or "1" in site
    )


@pytest.mark.parametrize("about", OUTPUTS)
def test_outputs_come_back_from_the_stream_and_what_a_receiver_knows(about, run, site_of_digits):
    words, kind = OUTPUTS[about]
    words = words.replace("hook_hidden", site_of_digits).split()
    made = run("encode", *words, "--explain", kind, "-o", "a.assay", "--seed", "3", "--json")
    assert made.exit_code == 0, made.stderr
    got = run("decode", "a.assay", words[0], "--explain", kind, "-o", "a.npy", "--json")
    assert got.exit_code == 0, got.stderr
    told = json.loads(got.stdout)
    assert told["rows"] == len(np.load("a.npy", allow_pickle=False))
    assert told["target"] == (
        "grid" if "tms" in words[0] else "answers" if "answers" in words else "outcomes"
    )
    report = json.loads(run("score", *words, "--explain", kind, "--audit", "--json", "--seed", "3").stdout)
    framed = report["checks"]["container_bits"] - 8 * 20
    assert 8 * Path("a.assay").stat().st_size > report["checks"]["bitstream_bits"] > framed


def test_what_a_receiver_lacks_is_said(run):
    words = [
        "zoo:tms-5-2",
        "--setting",
        "mechanism",
        "--delta",
        "0.05",
        "--limit",
        "60",
        "--explain",
        "network",
    ]
    assert run("encode", *words, "-o", "a.assay").exit_code == 0
    alone = run("decode", "a.assay")
    assert alone.exit_code == 2
    assert "needs MODEL (it was 'tms-5-2') and --explain (it was 'network')" in alone.stderr
    other = run("decode", "a.assay", "zoo:tms-5-2", "--explain", "network", "--limit", "50")
    assert other.exit_code == 2
    assert "about other data" in other.stderr


@pytest.mark.parametrize(
    "note", [b"[1]", b"{" * 5000, b'{"a": {}}', b'{"target": "outputs"}', b"nonsense", b"\xff\xfe"]
)
def test_a_hostile_note_is_refused(tmp_path, note):
    path = tmp_path / "note.assay"
    path.write_bytes(sealed(bytes(64), note))
    with pytest.raises(BitstreamError, match="note"):
        read(path, 2**28, {"model": "zoo:tms-5-2"})


def test_the_audit_in_words(run):
    words = ["zoo:max-of-4", "--setting", "mechanism", "--limit", "40", "--part-bits", "8", "--audit"]
    shown = run("score", *words, "--explain", "network").stdout
    assert "for drawn outcomes in place of KL" in shown
    assert "more, KL is" in shown
