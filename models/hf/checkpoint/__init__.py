"""The name of a model to its files, its description and its weights.

hub                names of the Hugging Face hub to a commit and a folder
files              folders and files; what is refused: pickles, code that was not allowed, truncated shards
gguf               GGUF files to safetensors, once
quantization       which package loads quantized weights, and whether it is there
adapters           `BASE+ADAPTER`: merged into the base, and unmerged
tokenizer_files    the tokenizer, compared with its tokenizer.json
generation_config  end tokens, barred tokens, recommended sampling
window             how many tokens a model reads
asking             how a model is asked: chat template, end tokens, window, thinking
provenance         which template suits it, and what our tuning made it of
description        all that is known without the weights: configuration, tokenizer, fingerprint
loading            the weights into memory
"""
