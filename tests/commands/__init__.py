"""What the commands make of a ledger or a file."""
