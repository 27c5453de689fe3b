SELECT id, path, metadata, writer_job_id FROM table_revisions WHERE id = %(id)s FOR UPDATE
