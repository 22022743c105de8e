"""spBLEU with the SentencePiece model of Flores-101 (Goyal et al. 2022), as in that and in the x-LLaMA paper."""

from .sentencepiece_bleu import sentencepiece_bleu

METRIC = sentencepiece_bleu("spbleu", "flores101")
