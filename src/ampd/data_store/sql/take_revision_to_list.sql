-- The revision whose objects were compared with its rows longest ago, when that is long enough; others leave it alone from now on.
UPDATE table_revisions SET listed_at = now()
WHERE id = (SELECT id FROM table_revisions WHERE listed_at < now() - make_interval(secs => %(age_seconds)s)
            ORDER BY listed_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, path
