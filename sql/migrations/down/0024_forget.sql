-- Undoes 0024_forget. Loses: nothing.

DROP FUNCTION sea.forget_output(text);
DELETE FROM sea.access WHERE object = 'forget_output';
