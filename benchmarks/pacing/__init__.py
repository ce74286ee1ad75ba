"""The pacing policy against models of servers, in virtual time, beside what others do: hours of traffic in seconds."""
