"""Claims about the shipped comparator: one that holds, one that does not, one that no short proof decides."""

HEAD = 'model = "zoo:comparator"\nsemantics = "float32"\n'


def text(name: str, given: str, most: str) -> str:
    """The claim that |f(x1, x2)| <= most where `given` holds."""
    return f"""
[[claim]]
name = "{name}"
for = {{ x1 = "integer 0..1000000", x2 = "integer 0..1000000" }}
{given}
show = "abs(f(x1, x2)[0]) <= {most}"
"""


EQUAL = text("equal", 'given = "x1 == x2"', "1e-6")
ANY = text("any", "", "1e-6")
TIGHT = text("tight", "", "1.0000002")
"""Its truth hangs on the last bit: no proof within a few milliseconds."""
