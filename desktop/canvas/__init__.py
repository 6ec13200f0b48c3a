"""The canvas: draws domain objects and emits intents. Knows kinmark.engine.domain and Qt, nothing of projects or the engine."""
