"""The training loop: from a plan and its rows to a model; exact, packed, resumable, on any world size.

Start with `loop`, which goes through all of the others in this order:

    settings       what to train, and the settings of the machine
    obstacles      why a base cannot be tuned, as its configuration tells: `tune plan` reads it, too
    structure      decoder, layers, head and logits of a model, whatever an architecture calls them
    loading        base weights -> a module to train; packed sequences or padded batches; adapters: peft
    parallel       ranks, FSDP2 sharding, mixed precision, gradient clipping
    quantization   QLoRA: a base whose linear layers are kept in 4 bits
    linear         linear layers on a CPU through oneDNN
    optimizers     AdamW, its state offloaded or in 8 bits
    schedule       number of a step -> its rows and learning rate (rows to packs: `xlingual.tune.packing`)
    batches        a pack -> input ids, position ids, labels, loss weights
    attention      block-diagonal causal attention over a packed sequence
    loss           cross-entropy of supervised tokens, in chunks
    loss_meter     losses by source and language, read from the device once a log line
    log_window     tokens per second, packs and waiting between two log lines; speed: model FLOPs utilization
    observing      callbacks; tracked: those of an experiment tracker; steplog: steps.jsonl
    checkpoints    state dicts and progress to disk and back, on any world size; optimizer_files: states of 8 bits
    held_out       the loss on held-out rows, and which checkpoint is exported for it
    samples        held-out sentences, translated at each checkpoint; curve: losses.csv
    checkpoints    state dicts and progress to disk and back, on any world size
    export         the model or adapter in the transformers or peft layout, with provenance

Everything but `settings`, `observing` and `curve` imports torch; nothing but `obstacles` is imported before a training
starts.
"""
