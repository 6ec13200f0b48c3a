"""The project of a person: database, undo, review queue, workflows, import and export, command line."""
