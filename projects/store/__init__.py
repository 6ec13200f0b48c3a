"""The project database: typed models, named operations with undo, queries, migrations, backups."""
