"""The engine's own tests: one lane against a scripted server, in time that passes only when nothing else can happen."""
