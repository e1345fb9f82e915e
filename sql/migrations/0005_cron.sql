-- Purpose: cron expressions: read, refused with the place, and the next minute that one names.
-- Breaking: no. Locks and scans: none, functions only.
-- Run before: nothing.
--
-- Five fields in UTC: minute hour day month weekday. Numbers, names (jan, mon), ranges a-b,
-- lists a,b and steps */n, a-b/n, a/n. Sunday is 0 or 7. With day and weekday both restricted,
-- either will do, as in every cron.

CREATE FUNCTION sea.cron_mask(field text, low integer, high integer, names text[], what text,
                              first integer, cron text)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    item text;
    part text[];
    at integer := first;
    start integer;
    stop integer;
    step integer;
    mask bigint := 0;
    one text;
    word text;
    ends integer[];
BEGIN
    FOREACH item IN ARRAY string_to_array(lower(field), ',') LOOP
        part := regexp_match(item,
            '^([*]|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?$');
        IF part IS NULL THEN
            RAISE EXCEPTION 'cron "%", character %: "%" is no % (number, name, range a-b, * or step /n)',
                cron, at, item, what USING ERRCODE = 'LF010',
                HINT = 'Five fields: minute hour day month weekday, such as "30 2 * * 1-5".';
        END IF;
        ends := '{}';
        FOREACH word IN ARRAY ARRAY[part[2], part[3]] LOOP
            one := word;
            IF one ~ '^[a-z]' THEN
                one := array_position(names, one) - 1 + low;
                IF one IS NULL THEN
                    RAISE EXCEPTION 'cron "%", character %: "%" is no name of a %', cron, at, word,
                        what USING ERRCODE = 'LF010',
                        HINT = 'Known: ' || coalesce(array_to_string(names, ', '), 'none') || '.';
                END IF;
            END IF;
            ends := ends || one::integer;
        END LOOP;
        start := coalesce(ends[1], low);
        step := coalesce(part[4]::integer, 1);
        -- "5/10" goes on to the end, as "*/10" does.
        stop := coalesce(ends[2], CASE WHEN part[1] = '*' OR part[4] IS NOT NULL THEN high
                                       ELSE start END);
        IF start < low OR stop > high OR start > stop OR step = 0 THEN
            RAISE EXCEPTION 'cron "%", character %: "%" is no % from % to %', cron, at, item,
                what, low, high USING ERRCODE = 'LF010',
                HINT = 'A range goes upwards and a step is at least 1.';
        END IF;
        FOR i IN 0..(stop - start) / step LOOP
            mask := mask | (1::bigint << (start + i * step));
        END LOOP;
        at := at + length(item) + 1;
    END LOOP;
    RETURN mask;
END $$;
COMMENT ON FUNCTION sea.cron_mask(text, integer, integer, text[], text, integer, text) IS 'Part of sea.cron_parse: one field as a bit per value; LF010 with the character where it cannot be read.';

CREATE FUNCTION sea.cron_parse(cron text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    what CONSTANT text[] := ARRAY['minute', 'hour', 'day', 'month', 'weekday'];
    lows CONSTANT integer[] := ARRAY[0, 0, 1, 1, 0];
    highs CONSTANT integer[] := ARRAY[59, 23, 31, 12, 7];
    names text[];
    masks bigint[] := '{}';
    stars bigint := 0;
    at integer := 1;
    field text;
BEGIN
    IF cron IS NULL OR length(cron) > 200 THEN
        RAISE EXCEPTION 'a cron expression has 1 to 200 characters' USING ERRCODE = 'LF010';
    END IF;
    FOR i IN 1..5 LOOP
        at := at + length(substring(substr(cron, at) FROM '^[ \t]*'));
        field := substring(substr(cron, at) FROM '^[^ \t]+');
        IF field IS NULL THEN
            RAISE EXCEPTION 'cron "%", character %: the % is missing', cron, at, what[i]
                USING ERRCODE = 'LF010',
                HINT = 'Five fields: minute hour day month weekday, such as "30 2 * * 1-5".';
        END IF;
        names := CASE i WHEN 4 THEN ARRAY['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug',
                                          'sep', 'oct', 'nov', 'dec']
                        WHEN 5 THEN ARRAY['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] END;
        masks := masks || sea.cron_mask(field, lows[i], highs[i], names, what[i], at, cron);
        IF field ~ '^[*]' THEN
            stars := stars | (1::bigint << i);
        END IF;
        at := at + length(field);
    END LOOP;
    at := at + length(substring(substr(cron, at) FROM '^[ \t]*'));
    IF at <= length(cron) THEN
        RAISE EXCEPTION 'cron "%", character %: more than five fields', cron, at
            USING ERRCODE = 'LF010',
            HINT = 'Five fields: minute hour day month weekday, such as "30 2 * * 1-5".';
    END IF;
    masks[5] := (masks[5] | (masks[5] >> 7)) & 127;     -- 7 is Sunday, too
    RETURN masks || stars;
END $$;
COMMENT ON FUNCTION sea.cron_parse(text) IS 'A cron expression as bits: minutes, hours, days, months, weekdays (0 is Sunday), and which fields begin with a star. LF010 with the character for what is none.';

CREATE FUNCTION sea.cron_next(masks bigint[], after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    start CONSTANT timestamp := date_trunc('minute', after AT TIME ZONE 'UTC') + interval '1 minute';
    day date := start::date;
    by_day boolean;
    by_week boolean;
    hit timestamp;
BEGIN
    -- 29 February may be eight years away.
    FOR i IN 0..3300 LOOP
        by_day := masks[3] >> extract(day FROM day)::integer & 1 = 1;
        by_week := masks[5] >> extract(dow FROM day)::integer & 1 = 1;
        IF masks[4] >> extract(month FROM day)::integer & 1 = 1
           -- As in every cron: with both restricted, either day will do.
           AND (CASE WHEN masks[6] & 40 = 0 THEN by_day OR by_week ELSE by_day AND by_week END) THEN
            SELECT min(day + make_interval(hours => h, mins => m)) INTO hit
              FROM generate_series(0, 23) AS h, generate_series(0, 59) AS m
             WHERE masks[2] >> h & 1 = 1 AND masks[1] >> m & 1 = 1
               AND day + make_interval(hours => h, mins => m) >= start;
            IF hit IS NOT NULL THEN
                RETURN hit AT TIME ZONE 'UTC';
            END IF;
        END IF;
        day := day + 1;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION sea.cron_next(bigint[], timestamptz) IS 'The first minute after a time that a parsed cron expression names, in UTC; NULL when there is none (30 February).';
