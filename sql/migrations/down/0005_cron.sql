-- Undoes 0005_cron. Loses: nothing.

DROP FUNCTION sea.cron_mask, sea.cron_parse, sea.cron_next;
