"""COMET-22 and CometKiwi-22 (Rei et al. 2022): translations judged by models that learnt from people's judgements.

Our own scorer of the published weights: `scorer` holds the formula, `encoder` XLM-R, `checkpoint` and `conversion` the
way from the authors' files to ours, `download` theirs from the hub. unbabel-comet itself cannot be installed beside
transformers 5; the tests hold its numbers. Without weights nothing is computed, and the estimate says why.
"""

from .metric import METRICS

__all__ = ["METRICS"]
