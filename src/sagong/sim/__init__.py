"""Virtual time, simulated nodes, fault injection, checkers."""
