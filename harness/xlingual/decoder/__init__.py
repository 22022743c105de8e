"""What generation (`models/hf`) and tuning (`training`) both need of a decoder of transformers.

    protocols      what is used of a model, its configuration and its attention modules
    architecture   which configurations can be computed without padding
    loading        transformers' loaders without their progress bars, their errors as ours
    linear         linear layers on a CPU through oneDNN

Nothing here imports torch before it is called.
"""
