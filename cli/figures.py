"""Numbers as a person reads them."""

from __future__ import annotations

import math

PREFIXES = ("", "k", "M", "G", "T", "P", "E")
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def amount(value: float) -> str:
    """A quantity in three figures or so, with a prefix from ten thousand on.

    >>> amount(2778484.4), amount(1335.42), amount(0.4449), amount(float("inf"))
    ('2.78 M', '1,335', '0.445', '∞')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) < 9_999.5:
        return _small(value)
    step = min(int(math.log10(abs(value)) // 3), len(PREFIXES) - 1)
    scaled = f"{value / 1000**step:.3g}"
    if scaled == "1e+03" and step + 1 < len(PREFIXES):
        step, scaled = step + 1, "1"
    return f"{scaled.replace('-', '−')} {PREFIXES[step]}"


def _small(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 999.5 or value == int(value) else 1 if size >= 99.95 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}" if size >= 0.0005 or not size else f"{value:.1e}"
    return text.replace("-", "−")


def bits(value: float) -> str:
    """A length with its unit.

    >>> bits(5416), bits(1.2e6)
    ('5,416 bits', '1.2 Mbit')
    """
    text = amount(value)
    return f"{text}bit" if text[-1].isalpha() else f"{text} bits"


def count(value: int) -> str:
    """A whole number, exact and with thousands separators; a power of ten and more from 10¹⁵ on."""
    return f"{value:,}" if value < 10**15 else f"about {amount_power(value)}"


def amount_power(value: int) -> str:
    """A huge whole number as a · 10ᵇ."""
    power = len(str(value)) - 1
    return f"{value / 10**power:.1f} · 10{str(power).translate(SUPERSCRIPTS)}"


def power(N: int) -> str:
    """A power of ten as one; other numbers as they are.

    >>> power(1), power(1000)
    ('1', '10³')
    """
    digits = len(str(N)) - 1
    return f"10{str(digits).translate(SUPERSCRIPTS)}" if digits and 10**digits == N else str(N)


def signed(value: float) -> str:
    """An amount with its sign."""
    return amount(value) if value <= 0 or math.isnan(value) else f"+{amount(value)}"


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
