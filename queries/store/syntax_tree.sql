-- name: syntax_tree
-- summary: A SELECT as DuckDB parses it, without running it: JSON text with error and error_message, or statements.
-- grain: one statement
SELECT json_serialize_sql($query) AS tree
