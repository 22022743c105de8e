"""Encoder-decoders: mT5 and Aya-101, and the translators M2M-100, NLLB, mBART-50 and MADLAD.

The encoder reads the prompt, the decoder says the answer, so nothing of a prompt stands before an answer's first token.

languages    our codes of languages to those of a translator
description  what the decoder begins with, and how a translator is told its languages
tokens       requests to what the encoder reads and what the decoder is given
batches      batches of rows, halved where memory does not hold them
generation   answers
likelihood   log-likelihoods of choices
"""
