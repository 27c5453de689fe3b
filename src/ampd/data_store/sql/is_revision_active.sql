-- A row when a table has the revision as its active one.
SELECT dataset_namespace, dataset_name, table_name FROM physical_tables WHERE active_revision_id = %(id)s LIMIT 1
