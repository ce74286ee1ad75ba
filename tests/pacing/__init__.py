"""Tests of the models of servers, of the simulator, of the contenders, and of our goals in virtual time."""
