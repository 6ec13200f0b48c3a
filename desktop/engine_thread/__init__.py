"""The one thread that owns the models: priority queue, frozen jobs, answers polled by the window."""
