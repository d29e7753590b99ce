"""What the measured tables of the guide hold: one function per table, which yields its rows."""

from . import (
    certificates,
    corrections,
    libraries,
    linear,
    monitoring,
    papers,
    recourse,
    robustness,
    scenarios,
    size,
)
from ._register import TABLES

__all__ = [
    "TABLES",
    "certificates",
    "corrections",
    "libraries",
    "linear",
    "monitoring",
    "papers",
    "recourse",
    "robustness",
    "scenarios",
    "size",
]
