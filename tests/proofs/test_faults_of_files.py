"""Every fault of a claim file at once, each where it stands."""

from pathlib import Path

import pytest
from assay.models import Network, save
from assay.proofs import InputError, verify
from assay.proofs.claim_files import parse_file
from assay.proofs.places import Places
from torch import nn

HOSTILE = {
    "towers of powers": "x <= 9**9**9**9",
    "a deep one": "(" * 100_000 + "x" + ")" * 100_000 + " < 1",
    "a long name": "f(" + "x" * 15_000 + ")[0] < 1",
    "a long text": "x < 1 and " * 10_000 + "x < 2",
    "doubling abs": "abs(" * 55 + "x" + ")" * 55 + " <= 1",
    "doubling equivalence": "(" * 40 + "x < 1" + " == (x < 2))" * 40,
    "many digits": "x <= 1e999999999",
    "code": "__import__('os').system('true') <= 1",
    "nested remainders": "(" * 9 + "x" + " % 3 + 70 * x)" * 9 + " % 3 <= 1",
}


def told(text: str) -> list[str]:
    """Faults as LINE:COLUMN, and what stands there."""
    with pytest.raises(InputError) as caught:
        parse_file(text, Path("c.toml"))
    lines = text.splitlines()
    return [
        f"{f.line}:{f.column} {lines[f.line - 1][f.column - 1 :].split()[0]}"
        for f in caught.value.faults
        if f.line and f.column
    ]


def test_faults_stand_at_the_token_that_is_wrong():
    text = "\n".join(
        [
            'model = "m"',
            'colour = "red"',
            "[[claim]]",
            'for = { x = "real 1..0", "y" = "integer 0..a" }',
            "show = 'f(x)[0] < z and w > 1'",
            'given = """',
            'x <= q"""',
            "[[claim]]",
            'for = { x = "bit" }',
            'within = { explanation = 3, epsilon = "much", colour = 1 }',
            "[[claim]]",
            'for = { x = "bit" }',
            'fires = { unit = "layers.0[1]", exactly_when = "x > \\u0041" }',
            'semantics = "bf16"',
            "[claim.extra]",
        ]
    )
    assert told(text) == [
        "2:1 colour",
        "4:14 real",
        "4:33 integer",
        "5:19 z",
        "5:25 w",
        '7:6 q"""',
        "10:26 3,",
        '10:40 much",',
        "10:56 1",
        '13:53 \\u0041"',
        '14:14 bf16"',
        "15:1 [claim.extra]",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_fail_at_once(name):
    text = f"model = 'm'\n[[claim]]\nfor = {{x = 'integer 0..100'}}\nshow = \"{HOSTILE[name]}\"\n"
    with pytest.raises(InputError) as caught:
        parse_file(text, Path("c.toml"))
    assert caught.value.faults[0].line == 4
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 100_000, "x = " + "1" * 5000, "x = 1e99999999999", "=", "\x00", "x = 1979-99-99"]
)
def test_what_breaks_readers_of_toml_is_one_error(text):
    with pytest.raises(InputError):
        parse_file(text, Path("c.toml"))


def test_places_follow_escapes_tables_and_arrays():
    text = 'a.b = "x\\u0041\\ty"\n[[t]]\n[[t]]\nk = [1, {"q.r" = \'v\'}]\n[t.s]\nl = """\\\n  ab"""\n'
    places = Places(text)
    assert places.value(("a", "b")) == (1, 8)
    assert [places.value(("a", "b"), k) for k in (1, 2, 3)] == [(1, 9), (1, 15), (1, 17)]
    assert places.value(("t", 1, "k", 1, "q.r")) == (4, 19)
    assert places.key(("t", 1, "s")) == (5, 1)
    assert places.value(("t", 1, "s", "l"), 1) == (7, 4)
    assert places.value(("t", 0, "missing")) == (2, 1)


def test_what_shows_once_networks_are_loaded_has_its_place_too(tmp_path):
    save(Network("n", nn.Sequential(nn.Linear(2, 3)), "regression", "real", (2,)), tmp_path / "n.safetensors")
    path = tmp_path / "c.claims.toml"
    path.write_text(
        'model = "n.safetensors"\n[models]\ng = "lost.safetensors"\n'
        '[[claim]]\nname = "a"\nfor = { x = "real 0..1" }\nshow = "0 <= f(x)[0]"\n'
        '[[claim]]\nname = "b"\nfor = { "x[0..1]" = "real 0..1" }\nshow = "f(x)[7] <= 1"\n'
        '[[claim]]\nname = "c"\nfor = { "x[0..1]" = "real 0..1" }\nshow = "f(x) <= g(x)"\n'
        '[[claim]]\nname = "d"\nfor = { "x[0..1]" = "real 0..1" }\n'
        'sufficient = { parts = ["0[1]", "0[9]"] }\n'
    )
    with pytest.raises(InputError) as caught:
        verify(path)
    found = [(f.line, f.column) for f in caught.value.faults]
    assert found == [(7, 14), (11, 13), (3, 6), (19, 34)]
    assert all(f.where == str(path) for f in caught.value.faults)
