-- A job that has not ended, held against every transition until the transaction ends; others may hold it so at the same time.
SELECT id FROM jobs WHERE id = %(job_id)s AND NOT state = ANY (%(terminal_states)s) FOR SHARE
