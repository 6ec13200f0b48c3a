"""Sweeps past one thread: photos are shared out to workers, answers come back in order, the caller alone writes."""
