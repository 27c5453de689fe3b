-- Minutes that no chart shows any more.
DELETE FROM job_minutes WHERE at < now() - make_interval(days => %(kept_days)s)
