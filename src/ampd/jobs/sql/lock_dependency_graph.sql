-- A deploy that names dependencies has them to itself until its transaction ends: other such deploys and all completions wait. So two deploys
-- cannot close a circle together, and no dependency completes unseen between the look at it and the commit (docs/decisions/0015).
SELECT pg_advisory_xact_lock(hashtextextended('ampd.dependencies', 0))
