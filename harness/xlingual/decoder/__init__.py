"""What generation (`models/hf`) and tuning (`training`) both need of a transformers decoder, in the order of reading.

    protocols      the part of a model, its configuration and its attention modules that is used, as types
    architecture   which configurations can be computed as packed sequences, without padding
    loading        transformers' loaders without progress bars, their exceptions as ours
    linear         the kernel of linear layers on a CPU: oneDNN
    thinking_switch  the variable of a chat template that turns thinking on and off

Nothing here imports torch before it is called.
"""
