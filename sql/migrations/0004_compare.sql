-- Purpose: paired comparison of two experiments, and the distributions that it needs.
-- Breaking: no. Locks and scans: none, functions only.
-- Run before: nothing.
--
-- This is the only implementation of the comparison: `sea compare` and the nightly verdicts
-- read it. The distributions agree with those of pipeline/stats.c (tests/scheduler).

-- ---- distributions ----

CREATE FUNCTION sea.ln_gamma(x float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    y float8 := x;
    shift float8 := 0;
    inverse float8;
BEGIN
    IF x IS NULL OR x <= 0 THEN
        RETURN NULL;
    END IF;
    WHILE y < 12 LOOP           -- up to where Stirling's series is exact
        shift := shift + ln(y);
        y := y + 1;
    END LOOP;
    inverse := 1 / (y * y);
    RETURN (y - 0.5) * ln(y) - y + 0.91893853320467274 - shift
           + (1.0/12 - inverse * (1.0/360 - inverse * (1.0/1260 - inverse * (1.0/1680
              - inverse * (1.0/1188 - inverse * 691.0/360360))))) / y;
END $$;
COMMENT ON FUNCTION sea.ln_gamma(float8) IS 'Logarithm of the gamma function, for arguments above 0.';

CREATE FUNCTION sea.beta_share(a float8, b float8, x float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    tiny CONSTANT float8 := 1e-300;
    -- The fraction converges quickly on the side where most of the mass is above x.
    swapped CONSTANT boolean := x > (a + 1) / (a + b + 2);
    y CONSTANT float8 := CASE WHEN swapped THEN 1 - x ELSE x END;
    p CONSTANT float8 := CASE WHEN swapped THEN b ELSE a END;
    q CONSTANT float8 := CASE WHEN swapped THEN a ELSE b END;
    share float8 := 0;
    front float8;
    c float8 := 1;
    d float8;
    h float8;
    step float8;
    term float8;
    m float8 := 1;
BEGIN
    IF a IS NULL OR b IS NULL OR x IS NULL OR a <= 0 OR b <= 0 THEN
        RETURN NULL;
    ELSIF x <= 0 THEN
        RETURN 0;
    ELSIF x >= 1 THEN
        RETURN 1;
    END IF;
    front := sea.ln_gamma(p + q) - sea.ln_gamma(p) - sea.ln_gamma(q) + p * ln(y)
             + q * ln(1 - y);
    IF front > -700 THEN
        -- Continued fraction by Lentz's method.
        d := 1 - (p + q) * y / (p + 1);
        d := 1 / (CASE WHEN abs(d) < tiny THEN tiny ELSE d END);
        h := d;
        WHILE m < 10000 LOOP
            term := m * (q - m) * y / ((p + 2 * m - 1) * (p + 2 * m));
            d := 1 + term * d;
            d := 1 / (CASE WHEN abs(d) < tiny THEN tiny ELSE d END);
            c := 1 + term / c;
            c := CASE WHEN abs(c) < tiny THEN tiny ELSE c END;
            h := h * d * c;
            term := -(p + m) * (p + q + m) * y / ((p + 2 * m) * (p + 2 * m + 1));
            d := 1 + term * d;
            d := 1 / (CASE WHEN abs(d) < tiny THEN tiny ELSE d END);
            c := 1 + term / c;
            c := CASE WHEN abs(c) < tiny THEN tiny ELSE c END;
            step := d * c;
            h := h * step;
            EXIT WHEN abs(step - 1) < 1e-15;
            m := m + 1;
        END LOOP;
        share := exp(front) * h / p;
    END IF;
    RETURN CASE WHEN swapped THEN 1 - share ELSE share END;
END $$;
COMMENT ON FUNCTION sea.beta_share(float8, float8, float8) IS 'Regularised incomplete beta function of (a, b) at x.';

CREATE FUNCTION sea.t_p_value(t float8, df float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN df > 0 THEN sea.beta_share(df / 2, 0.5, df / (df + t * t)) END;
$$;
COMMENT ON FUNCTION sea.t_p_value(float8, float8) IS 'Two-sided p-value of a t statistic; NULL without a degree of freedom.';

CREATE FUNCTION sea.t_quantile(p float8, df float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    low float8 := 0;
    high float8 := 2;
    middle float8;
BEGIN
    IF p IS NULL OR df IS NULL OR df <= 0 OR p <= 0 OR p >= 1 THEN
        RETURN NULL;
    ELSIF p < 0.5 THEN
        RETURN -sea.t_quantile(1 - p, df);
    END IF;
    WHILE sea.t_p_value(high, df) > 2 * (1 - p) LOOP
        high := 2 * high;
    END LOOP;
    WHILE high - low > 1e-11 * high LOOP
        middle := (low + high) / 2;
        IF sea.t_p_value(middle, df) > 2 * (1 - p) THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN (low + high) / 2;
END $$;
COMMENT ON FUNCTION sea.t_quantile(float8, float8) IS 'Quantile of the t distribution: t_quantile(0.975, df) standard errors are half a 95 % interval.';

CREATE FUNCTION sea.normal_quantile(p float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    z float8 := 0;
    upper float8 := 8;
    lower float8 := -8;
    term float8;
    total float8;
    k float8;
BEGIN
    IF p IS NULL OR p <= 0 OR p >= 1 THEN
        RETURN NULL;
    ELSIF p < 0.5 THEN
        RETURN -sea.normal_quantile(1 - p);
    END IF;
    WHILE upper - lower > 1e-11 LOOP
        z := (lower + upper) / 2;
        term := z;
        total := z;
        k := 1;
        WHILE abs(term) > 1e-17 * abs(total) LOOP
            k := k + 2;
            term := term * z * z / k;
            total := total + term;
        END LOOP;
        IF 0.5 + total * exp(-z * z / 2) * 0.3989422804014327 < p THEN
            lower := z;
        ELSE
            upper := z;
        END IF;
    END LOOP;
    RETURN (lower + upper) / 2;
END $$;
COMMENT ON FUNCTION sea.normal_quantile(float8) IS 'Quantile of the normal distribution.';

CREATE FUNCTION sea.sign_test(more bigint, less bigint) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN more + less = 0 OR more = less THEN 1
                ELSE least(1, 2 * sea.beta_share(greatest(more, less),
                                                 least(more, less) + 1, 0.5)) END;
$$;
COMMENT ON FUNCTION sea.sign_test(bigint, bigint) IS 'Exact two-sided binomial test at one half; of questions that only one of two answered right it is McNemar''s test.';

-- ---- comparison ----

CREATE FUNCTION sea.compare(a bigint, b bigint)
RETURNS TABLE (benchmark text, split text, control boolean, n bigint, clusters bigint,
               mean_a float8, mean_b float8, difference float8, se float8, low float8,
               high float8, p float8, mde float8, only_a bigint, only_b bigint,
               mcnemar_p float8)
LANGUAGE sql STABLE AS $$
    WITH answers AS (
        SELECT s.experiment_id, w.benchmark_id, w.control, w.item,
               row_number() OVER (PARTITION BY s.experiment_id, w.benchmark_id, w.control, w.item
                                  ORDER BY w.seq) AS turn,
               coalesce(w.cluster, w.item) AS cluster, w.score
          FROM sea.stage_run s
          JOIN sea.answer w ON w.stage_id = s.output_stage_id AND w.epoch = s.output_epoch
         WHERE s.experiment_id IN (a, b) AND s.stage = 'eval' AND w.score IS NOT NULL),
    pairs AS (
        -- Grouped, not joined: the planner cannot know how many pairs there will be.
        SELECT w.benchmark_id, w.control,
               min(w.cluster) FILTER (WHERE w.experiment_id = a) AS cluster,
               min(w.score) FILTER (WHERE w.experiment_id = a) AS score_a,
               min(w.score) FILTER (WHERE w.experiment_id = b) AS score_b
          FROM answers w
         GROUP BY w.benchmark_id, w.control, w.item, w.turn),
    clusters AS (
        SELECT q.benchmark_id, q.control, q.cluster, count(*) AS n,
               sum(q.score_a) AS score_a, sum(q.score_b) AS score_b,
               sum(q.score_b - q.score_a) AS d,
               count(*) FILTER (WHERE q.score_b < q.score_a) AS only_a,
               count(*) FILTER (WHERE q.score_b > q.score_a) AS only_b
          FROM pairs q
         WHERE q.score_a IS NOT NULL AND q.score_b IS NOT NULL
         GROUP BY q.benchmark_id, q.control, q.cluster),
    residuals AS (
        SELECT c.*, sum(c.d) OVER every / sum(c.n) OVER every AS mean,
               c.d - c.n * (sum(c.d) OVER every / sum(c.n) OVER every) AS residual
          FROM clusters c
        WINDOW every AS (PARTITION BY c.benchmark_id, c.control)),
    result AS (
        SELECT c.benchmark_id, c.control, sum(c.n)::bigint AS n, count(*) AS g,
               sum(c.score_a) / sum(c.n)::float8 AS mean_a,
               sum(c.score_b) / sum(c.n)::float8 AS mean_b, min(c.mean) AS mean,
               CASE WHEN count(*) > 1
                    THEN sqrt(count(*) / (count(*) - 1.0)::float8
                              * sum(c.residual * c.residual)) / sum(c.n)::float8 END AS se,
               sum(c.only_a)::bigint AS only_a, sum(c.only_b)::bigint AS only_b
          FROM residuals c
         GROUP BY c.benchmark_id, c.control)
    SELECT k.name, k.split, r.control, r.n, r.g, r.mean_a, r.mean_b, r.mean, r.se,
           r.mean - t.half, r.mean + t.half,
           CASE WHEN r.se > 1e-12 THEN sea.t_p_value(r.mean / r.se, r.g - 1)
                WHEN r.se IS NULL THEN NULL
                WHEN abs(r.mean) < 1e-12 THEN 1
                -- Every cluster moved by the same amount: as likely as g equal coins.
                ELSE 2 * 0.5 ^ least(r.g, 1000) END,
           2.801585 * r.se, r.only_a, r.only_b, sea.sign_test(r.only_a, r.only_b)
      FROM result r
      JOIN sea.benchmark k ON k.id = r.benchmark_id
     CROSS JOIN LATERAL (SELECT sea.t_quantile(0.975, r.g - 1) * r.se AS half) t
     ORDER BY k.name, k.split, r.control;
$$;
COMMENT ON FUNCTION sea.compare(bigint, bigint) IS 'Paired comparison of two experiments on the questions that both answered: mean difference (b minus a) of the answers'' own scores, its standard error over the clusters (G/(G-1) times the sum of squared cluster sums of residuals, over n squared), 95 % interval and two-sided p-value by t with G-1 degrees of freedom (NULL with one cluster), the smallest difference that would be seen with 80 % power, and McNemar''s exact test of the questions that only one of them got right.';

CREATE FUNCTION sea.questions(experiment bigint)
RETURNS TABLE (benchmark_id bigint, n bigint, digest text)
LANGUAGE sql STABLE AS $$
    SELECT w.benchmark_id, count(*),
           md5(string_agg(md5(w.item || ' ' || coalesce(w.gold::text, '')), '' ORDER BY w.seq))
      FROM sea.stage_run s
      JOIN sea.answer w ON w.stage_id = s.output_stage_id AND w.epoch = s.output_epoch
     WHERE s.experiment_id = experiment AND s.stage = 'eval' AND NOT w.control
     GROUP BY w.benchmark_id;
$$;
COMMENT ON FUNCTION sea.questions(bigint) IS 'Which questions an experiment was asked: number and digest of ids and right answers per benchmark. Two experiments compare where these are equal.';

-- ---- sweeps ----

CREATE FUNCTION sea.submit_all(configs jsonb, idempotency_key text DEFAULT NULL)
RETURNS TABLE (experiment_id bigint)
LANGUAGE plpgsql AS $$
DECLARE
    p_configs ALIAS FOR $1;
    p_key ALIAS FOR $2;
    one jsonb;
BEGIN
    IF jsonb_typeof(p_configs) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the configurations are not a list' USING ERRCODE = 'LF010',
            HINT = 'Submit a list of resolved experiments; `sea submit FILE` makes it.';
    END IF;
    FOR one IN SELECT * FROM jsonb_array_elements(p_configs) LOOP
        experiment_id := sea.submit(one, CASE WHEN jsonb_array_length(p_configs) = 1 THEN p_key
                                              ELSE p_key || '#' || (one->>'name') END);
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION sea.submit_all(jsonb, text) IS 'Queues a list of resolved experiments, the combinations of a sweep, all or none, and returns their ids in order. The key of each is idempotency_key#name, of a single one idempotency_key.';
