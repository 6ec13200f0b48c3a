"""The jobs: read from the project, ask the engine, write back in short transactions. One way for window and command."""
