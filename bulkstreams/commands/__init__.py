"""One file a command, each a short script over the rooms below."""
