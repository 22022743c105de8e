"""A stand-in with the interface of bitsandbytes' 8-bit AdamW, for machines that do not have the package."""

from . import nn, optim

__all__ = ["nn", "optim"]
