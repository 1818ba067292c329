"""Firsthand: record a life, keep it under its wearer's consent, predict what comes next."""

from firsthand.errors import Error

__version__ = "0.1.0"
__all__ = ["Error", "__version__"]
