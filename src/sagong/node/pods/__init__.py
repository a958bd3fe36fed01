"""The pod lifecycle as a pure state machine, and the shell that carries its instructions out."""
