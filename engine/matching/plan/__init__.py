"""How a request is matched: the resolved numbers, and what is known about the collection before any target is seen."""
