-- Undoes 0004_compare. Loses: nothing.

DROP FUNCTION sea.ln_gamma, sea.beta_share, sea.t_p_value, sea.t_quantile, sea.normal_quantile,
    sea.sign_test, sea.compare, sea.questions, sea.submit_all;
