"""Requests to token ids, and back.

rendering   chat templates and texts to prompt tokens; answers to the tokens that are learnt
choices     requests with choices to windows of tokens whose last ones are scored
stops       whether the newest token completes a stop string
"""
