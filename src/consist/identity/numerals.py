"""How numbers are spelled: those that compare equal have one spelling, whatever their type."""

from __future__ import annotations

from typing import Any

_SMALL_INT = 1 << 2048
_LARGEST_EXPONENT = 100_000


def tag(name: str, text: str) -> str:
    """Mark a spelling that JSON has no word for."""
    return f'{{"${name}":{text}}}'


def spell_int(value: int, _room: int = 0) -> str:
    """Spell a whole number of any size."""
    # Python refuses more decimal digits than a limit that a process may set, to 640 at the least.
    if -_SMALL_INT < value < _SMALL_INT:
        return int.__repr__(value)
    return tag("int", f'"{value:x}"')


def spell_float(value: float, _room: int = 0) -> str:
    """Spell a float as the whole number it is, or with the fewest digits that give it back."""
    if value.is_integer():
        return int.__repr__(int(value))
    text = float.__repr__(value)
    return tag("float", f'"{text}"') if text[-1] in "nf" else text


def spell_complex(value: complex, _room: int = 0) -> str:
    """Spell a complex number, without its imaginary part if that is zero."""
    if value.imag == 0:
        return spell_float(value.real)
    return tag("complex", f"[{spell_float(value.real)},{spell_float(value.imag)}]")


def spell_decimal(value: Any, _room: int = 0) -> str:
    """Spell a ``Decimal`` as the exact number that it is."""
    if value.is_nan():
        return spell_float(float("nan"))
    if not value or value.is_infinite():
        return spell_float(float(value))
    if abs(value.adjusted()) <= _LARGEST_EXPONENT:
        return spell_rational(*value.as_integer_ratio())
    # Written out, it could fill the memory.
    sign, digits, exponent = value.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    return tag("decimal", f'[{sign},"{kept}",{exponent + len(digits) - len(kept)}]')


def spell_fraction(value: Any, _room: int = 0) -> str:
    """Spell a ``Fraction`` as the exact number that it is."""
    return spell_rational(value.numerator, value.denominator)


def spell_rational(numerator: int, denominator: int) -> str:
    """Spell a ratio in lowest terms; as an int or a float, if one is exactly that number."""
    if denominator == 1:
        return spell_int(numerator)
    try:
        near = numerator / denominator
    except OverflowError:
        near = 0.0
    if near.as_integer_ratio() == (numerator, denominator):
        return spell_float(near)
    return tag("rational", f"[{spell_int(numerator)},{spell_int(denominator)}]")
