"""The garbage collector: objects go when their owners do, in the order that was asked for."""
