module gbe/schema

go 1.22
