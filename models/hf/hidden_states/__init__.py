"""What the layers of a decoder make of texts: their states pooled over tokens, and the tokens that each predicts.

    passes       texts to forward passes, packed or padded; where memory is short, passes of fewer tokens
    pooling      the states of a layer to one vector a text, in float32
    logit_lens   the states of a layer through the final norm and the head: the next tokens that it would predict

No more than the states of one pass are in memory, with the packed engine's fused forward those of one layer.
"""
