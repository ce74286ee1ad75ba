"""Texts of flags, variables and files → numbers with a meaning; a wrong one is told in a sentence.

`where` is how the sentence names the value's source. This module must never know which settings there are.
"""

from __future__ import annotations

from typing import Final, Literal

from bulkstreams.errors import UsageError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUTHS: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def rate(value: object, where: str) -> float | Literal["auto", "max"]:
    """Read a rate: requests a second, `auto` or `max`."""
    text = str(value).strip().removesuffix("/s")
    if text == "auto":
        return "auto"
    if text == "max":
        return "max"
    number = _number(text)
    if number is None or not 0 < number <= 1e6:
        raise UsageError(f"{where} must be requests per second, auto or max (got {value!r}).", hint="e.g. 16")
    return number


def share(value: object, where: str) -> float:
    """Read a percentage, `40%` or 40, as a share within [0, 1)."""
    number = _number(str(value).strip().removesuffix("%"))
    if number is None or not 0 <= number < 100:
        raise UsageError(f"{where} must be a percentage from 0 to below 100 (got {value!r}).", hint="e.g. 40%")
    return number / 100


def seconds(value: object, where: str) -> float:
    """Read a duration: seconds, or with a unit `ms`, `s`, `m`, `h`."""
    text = str(value).strip()
    unit = next((unit for unit in _UNITS if text.endswith(unit) and _number(text.removesuffix(unit)) is not None), "s")
    number = _number(text.removesuffix(unit))
    if number is None or number <= 0:
        raise UsageError(f"{where} must be seconds, or like 500ms, 30s, 5m, 1h (got {value!r}).", hint="e.g. 30")
    return number * _UNITS[unit]


def whole(value: object, where: str, least: int, most: int) -> int:
    """Read a whole number within bounds."""
    number = _number(str(value))
    if number is None or number != int(number) or not least <= number <= most:
        raise UsageError(
            f"{where} must be a whole number from {least} to {most} (got {value!r}).", hint=f"e.g. {least}"
        )
    return int(number)


def truth(value: object, where: str) -> bool:
    """Read a yes or a no."""
    found = _TRUTHS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"{where} must be true or false (got {value!r}).", hint="e.g. true")
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
