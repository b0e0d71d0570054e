"""SQL over an archive of files, by DuckDB. Its libraries are an extra: ``gbe[query]``."""
