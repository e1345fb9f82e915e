-- Upkeep and restores.

-- name: store_expected
-- Files that a committed output refers to: all of them have to be in the store.
SELECT a.sha256, a.bytes
  FROM sea.artifact AS a
 WHERE EXISTS (SELECT FROM sea.manifest AS m WHERE m.sha256 = a.sha256)
 ORDER BY a.sha256
