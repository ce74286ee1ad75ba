"""What the command shows while it works."""
