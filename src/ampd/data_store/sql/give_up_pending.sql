-- What was being written into a revision that nobody writes any more.
UPDATE uncounted_files SET reason = 'ABANDONED', collect_at = now() WHERE revision_id = %(id)s AND reason = 'PENDING'
