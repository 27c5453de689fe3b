-- Files that never come to count: whoever is committing them has done so, or cannot any more.
UPDATE uncounted_files SET reason = 'ABANDONED', collect_at = now() WHERE path = ANY (%(paths)s) AND reason = 'PENDING'
