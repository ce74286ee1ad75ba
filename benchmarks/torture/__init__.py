"""The torture bench: the real command is killed again and again over a server that loses answers, then judged.

`feed` makes the input and says what must become of each line; `server` is the sandbox's process; `lives` starts and
ends the command; `judge` holds the sandbox's books against the ledger; `trial` puts them together.
"""
