-- When a request expires, in whole seconds since 1970, rounded up: what has expired is passed over without being read. Of a request that
-- was asked before there was this column it is not known here; it is read. The body has the whole truth.
ALTER TABLE approval_request ADD COLUMN expires_at INTEGER;
