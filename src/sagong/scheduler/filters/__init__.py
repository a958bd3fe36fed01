"""One file a filter plugin: a vector operation over all nodes."""
