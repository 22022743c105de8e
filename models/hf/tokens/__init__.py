"""Requests to token ids, and back.

rendering   chat templates and texts to prompt tokens; answers to the tokens of training
choices     requests with choices to windows of tokens whose last ones are scored
cache       what was counted for the plan is not tokenized again for the answer
thinking_switch   the variable of a chat template that turns the thinking on or off
detokenization    generated tokens to text, the markers of thinking kept
thoughts    what of an answer is thinking, and where its text begins
stops       whether the newest token completes a stop string
"""
