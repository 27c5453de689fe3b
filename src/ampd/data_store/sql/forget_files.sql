-- Their objects are gone.
DELETE FROM uncounted_files WHERE path = ANY (%(paths)s) AND reason <> 'PENDING'
