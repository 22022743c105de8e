"""A model's name to its files, its description and its weights.

hub           names of the Hugging Face hub to a commit and a folder
files         folders and files; which are refused: pickles, code unasked, shards cut off
gguf          GGUF files to safetensors, once
adapters      `BASE+ADAPTER`: merged into the base, and taken out again
description   all that is known without the weights: configuration, tokenizer, fingerprint
loading       the weights into memory
"""
