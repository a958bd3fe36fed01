"""One file a score plugin: a vector operation over the feasible nodes."""
