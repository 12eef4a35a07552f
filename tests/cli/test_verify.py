from __future__ import annotations

import json
from pathlib import Path

import pytest

HEAD = 'model = "zoo:comparator"\nsemantics = "float32"\n'
CLAIM = """
[[claim]]
name = "{name}"
for = {{ x1 = "integer 0..1000000", x2 = "integer 0..1000000" }}
{given}
show = "{show}"
"""
EQUAL = CLAIM.format(name="equal", given='given = "x1 == x2"', show="abs(f(x1, x2)[0]) <= 1e-6")
ANY = CLAIM.format(name="any", given="", show="abs(f(x1, x2)[0]) <= 1e-6")
TIGHT = CLAIM.format(name="tight", given="", show="abs(f(x1, x2)[0]) <= 1.0000002")
"""Its truth hangs on the last bit: no proof within a few milliseconds."""


@pytest.fixture
def claims(tmp_path):
    def write(*parts: str) -> Path:
        path = tmp_path / "c.claims.toml"
        path.write_text(HEAD + "".join(parts))
        return path

    return write


def test_proved_is_0_and_the_certificate_can_be_checked(run, claims, tmp_path):
    done = run("verify", claims(EQUAL), "--certificates", "certs")
    assert done.exit_code == 0, done.output
    assert "PROVED: equal" in done.stdout
    assert "1,000,001 entries" in done.stdout
    (certificate,) = (tmp_path / "certs").glob("*.json")
    assert run("check", certificate).exit_code == 0
    certificate.write_text(certificate.read_text().replace('"proved"', '"refuted"'))
    rejected = run("check", certificate)
    assert rejected.exit_code == 1
    assert "REJECTED" in rejected.stdout


def test_refuted_is_1_and_shows_where(run, claims):
    done = run("verify", claims(EQUAL, ANY))
    assert done.exit_code == 1
    assert "REFUTED: any" in done.stdout
    assert "counterexample: x1 = " in done.stdout
    made = json.loads(run("verify", claims(EQUAL, ANY), "--json").stdout)
    assert [claim["status"] for claim in made] == ["proved", "refuted"]
    witness = made[1]["verdict"]["witness"]["inputs"]
    assert abs(int(witness["x1"]) - int(witness["x2"])) > 0


def test_unknown_is_3_unless_it_is_allowed(run, claims):
    done = run("verify", claims(TIGHT), "--budget", "1ms")
    assert done.exit_code == 3
    assert "UNKNOWN: tight" in done.stdout
    assert "stopped in" in done.stdout
    assert run("verify", claims(TIGHT), "--budget", "1ms", "--allow-unknown").exit_code == 0


def test_refuted_outweighs_unknown(run, claims):
    from assay.cli.verify import exit_code

    assert exit_code(["unknown", "refuted", "proved"], allow_unknown=True) == 1
    assert exit_code(["unknown", "proved"], allow_unknown=False) == 3
    assert exit_code([], allow_unknown=False) == 0


def test_several_files_are_read_before_any_is_verified(run, claims, tmp_path):
    (tmp_path / "bad.claims.toml").write_text(HEAD + "[[claim]]\n")
    done = run("verify", claims(EQUAL), "bad.claims.toml", "--certificates", "certs")
    assert done.exit_code == 2
    assert not (tmp_path / "certs").exists()
