-- name: holds
-- summary: Whether a JSON object, metadata, has every key of another, wanted, with the same value.
-- grain: one value
len(list_filter(
    map_keys(CAST(wanted::JSON AS MAP(VARCHAR, JSON))),
    LAMBDA key: (CAST(metadata AS MAP(VARCHAR, JSON)))[key]
        IS DISTINCT FROM (CAST(wanted::JSON AS MAP(VARCHAR, JSON)))[key]
)) = 0
