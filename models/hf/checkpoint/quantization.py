"""Quantized checkpoints: loaded by the package that knows their format, or one line says which package is lacking."""

import importlib.util
from collections.abc import Mapping

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.identity import Json
from xlingual.text import did_you_mean

PACKAGES: dict[str, tuple[str, ...]] = {
    "aqlm": ("aqlm",),
    "auto-round": ("auto-round",),
    "awq": ("gptqmodel",),
    "bitnet": (),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "eetq": ("kernels",),
    "fbgemm_fp8": ("fbgemm-gpu",),
    "fp8": (),
    "fp_quant": ("fp-quant",),
    "gptq": ("optimum", "gptqmodel"),
    "higgs": ("flute-kernel", "fast-hadamard-transform"),
    "hqq": ("hqq",),
    "metal": ("kernels",),
    "mxfp4": (),
    "mxfp8": (),
    "nvfp4": (),
    "quanto": ("optimum-quanto",),
    "quark": ("amd-quark",),
    "sinq": ("sinq",),
    "spqr": ("spqr-quant",),
    "torchao": ("torchao",),
    "vptq": ("vptq",),
}
"""By `quant_method` of the configuration: what transformers loads it with, besides accelerate; those without a package
are computed by transformers itself, on a GPU, or after it has made plain weights of them."""
MODULES = {
    "amd-quark": "quark",
    "fbgemm-gpu": "fbgemm_gpu",
    "flute-kernel": "flute",
    "optimum-quanto": "optimum.quanto",
    "spqr-quant": "spqr_quant",
}
"""Modules of packages that are not called as these are."""


def quantization_method(config: Mapping[str, Json]) -> str | None:
    """Return the `quant_method` of a configuration, None for plain weights; ModelError where it does not say which.

    Older checkpoints of bitsandbytes say only `load_in_4bit` or `load_in_8bit`.
    """
    found = config.get("quantization_config") or config.get("compression_config")
    if not found:
        return None
    if not isinstance(found, dict):
        raise ModelError(f"must be an object, got {found!r:.80}", where="quantization_config")
    method = found.get("quant_method")
    if method is None and (found.get("load_in_4bit") or found.get("load_in_8bit")):
        return "bitsandbytes"
    if not isinstance(method, str):
        raise ModelError("the weights are quantized, but no quant_method says how", where="quantization_config")
    return method


def check_quantization(method: str, where: str) -> None:
    """Raise EnvironmentFault naming the packages that are lacking, ModelError for a method that nobody knows."""
    if method not in PACKAGES:
        hint = did_you_mean(method, PACKAGES)
        raise ModelError(f"the weights are quantized by {method!r}, which transformers does not have", where=where,
                         hint=hint)  # fmt: skip
    lacking = [each for each in ("accelerate", *PACKAGES[method]) if not _is_installed(each)]
    if lacking:
        names = " and ".join(lacking)
        what = f"the weights are quantized by {method}, and the package {names} is not installed"
        raise EnvironmentFault(what, where=where, hint=f"pip install {' '.join(lacking)}")


def _is_installed(package: str) -> bool:
    module = MODULES.get(package, package.replace("-", "_"))
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
