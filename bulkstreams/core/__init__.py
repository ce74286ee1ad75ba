"""The rules, as plain functions of values: no await, no clock, no chance, no file, no socket, no log."""
