-- First the runs: the trigger on the files then has nothing to do for each of them.
DELETE FROM block_runs WHERE revision_id = %(id)s
