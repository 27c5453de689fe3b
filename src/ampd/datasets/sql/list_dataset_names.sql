SELECT namespace, name FROM datasets ORDER BY namespace, name LIMIT %(limit)s
