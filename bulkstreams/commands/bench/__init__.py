"""`bench`: what may be benched, the loads, and how a bench ends."""
