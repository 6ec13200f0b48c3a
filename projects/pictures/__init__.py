"""Pictures of results: contact sheets that a person looks at."""
