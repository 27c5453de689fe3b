-- The same, of one product, along its own index: see newest_jobs_in_states.sql.
SELECT * FROM jobs
WHERE ((labels ->> 'product'), id) > (%(product)s, 0) AND ((labels ->> 'product'), id) < (%(product)s, coalesce(%(before_id)s, 9223372036854775807))
  AND {conditions}
ORDER BY (labels ->> 'product') DESC, id DESC
LIMIT %(limit)s OFFSET %(offset)s
