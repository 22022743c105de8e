"""Requests to token ids, and back.

chat_template    which of several chat templates, on which day, with messages in which form
turn_end         the token that ends a turn of the assistant
learnt_turns     what is learnt of an answer in a chat, from the end of its prompt to the end of its turn
rendering        chat templates and texts to prompt tokens; answers to the tokens of training
choices          requests with choices to windows of tokens whose last ones are scored
cache            what was counted for the plan is not tokenized again for the answer
detokenization   generated tokens to text, the markers of thinking kept
thoughts         how far an answer is: still thinking, or where its text begins
stops            whether the newest token completes a stop string
"""
