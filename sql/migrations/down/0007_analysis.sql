-- Undoes 0007_analysis. Loses: nothing, the boards are made anew from the scores.

DROP VIEW sea.cost_per_point, sea.experiment_cost, sea.best_per_model, sea.leaderboard;
DROP TRIGGER stage_run_board ON sea.stage_run;
DROP FUNCTION sea.board_rows, sea.board_add, sea.stage_run_board, sea.rank_intervals, sea.lineage,
    sea.reproduce;
DROP TABLE sea.board_mean, sea.board;
