-- The minute that is to be counted next: the one behind the last, but none that is older than a while; NULL when what happens in it may not
-- have been committed yet.
SELECT CASE WHEN each.at <= now() - make_interval(secs => 60 + %(late_seconds)s) THEN each.at END AS at
FROM (
    SELECT greatest(
        (SELECT max(at) + interval '1 minute' FROM job_minutes),
        date_trunc('minute', now() - make_interval(secs => 60 + %(late_seconds)s) - make_interval(mins => %(most_back)s))
    ) AS at
) each
