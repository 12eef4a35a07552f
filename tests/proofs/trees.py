"""Claims and networks as certificates hold them, from text and from the prover's operations."""

from fractions import Fraction

from assay.proofs import check
from assay.proofs.expressions import tree
from assay.proofs.normal import normal
from assay.proofs.parser import parse
from assay.proofs.strides import in_strides

NONE = {"definitions": [], "substitution": [], "twins": []}


def statement(text, variables, networks=()):
    """The tree of a statement about `variables`, [name, kind, lo, hi, size], and networks of one output."""
    sizes = {name: None if size == 1 else size for name, *_, size in variables}
    calls = {name: (sum(size for *_, size in variables), 1) for name in networks}
    return tree(normal(parse(text), sizes, calls))


def asked(variables, show, given=(), semantics="real", networks=("f", "g")):
    """A claim whose `show` and `given` are texts."""
    texts = [given] if isinstance(given, str) else given
    return {
        "for": variables,
        "given": [statement(text, variables, networks) for text in texts],
        "show": statement(show, variables, networks),
        "semantics": semantics,
        "stated": "",
    }


def scalars(names, kind="real", lo="0", hi="1"):
    return [[name, kind, lo, hi, 1] for name in names]


def network(operations, size, **tensors):
    """A network of `size` inputs as the checker reads it: operations in strides, and tensors."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    stored = {n: ("float32", shapes[n], tensor.flatten().tolist()) for n, tensor in tensors.items()}
    return size, in_strides(operations, size, shapes), stored


def kind(problem, layer):
    """The name of a layer's function, or "affine"."""
    made = problem.made[layer.units[0]]
    return "affine" if isinstance(made, dict) else made[0]


def exactly(problem, point):
    """Every unit in fractions, by the definition."""
    values = [Fraction(1), *point]
    for made in problem.made[len(values) :]:
        if isinstance(made, dict):
            values.append(sum((Fraction(w, 2**check.FINE) * values[j] for j, w in made.items()), Fraction(0)))
        else:
            values.append(max(values[made[1][0]], Fraction(0)))
    return values


def placed(problem, low, high, outer=None, exact=False):
    """A box of inputs between low and high."""
    box = check.Box(problem, outer, exact)
    for u, (least, most) in enumerate(zip(low, high, strict=True), 1):
        box.set(u, least * problem.one // 1, -(-most * problem.one // 1))
    return box
