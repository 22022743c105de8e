"""The name of a model to its files, its description and its weights.

hub           names of the Hugging Face hub to a commit and a folder
files         folders and files; what is refused: pickles, code that was not allowed, truncated shards
gguf          GGUF files to safetensors, once
adapters      `BASE+ADAPTER`: merged into the base, and unmerged
description   all that is known without the weights: configuration, tokenizer, fingerprint
loading       the weights into memory
"""
