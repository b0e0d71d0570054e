"""The archive in PostgreSQL: a table partitioned by day, made and migrated by gbe."""
