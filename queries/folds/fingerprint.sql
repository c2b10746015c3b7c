-- name: fingerprint
-- summary: An error's message without what differs each time: numbers, hex, paths, quoted text; its first 1,000 characters.
-- grain: one value
trim(
    -- what is in quotes goes first, as it may look like anything else; \B keeps the apostrophe of a word out
    -- long numbers go before bare hex, which may consist of digits only
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
        left(message, 1000),
        '"[^"\n]*"|`[^`\n]*`|\B''.*?''\B', '<text>', 'g'),
        '\b[A-Za-z][A-Za-z0-9+.-]*://[^\s''"<>]+', '<path>', 'g'),
        '(^|[\s(\[{=,:;])(?:[A-Za-z]:[\\/]|(?:~|\.{1,2})?/)[^\s,:;()\[\]{}<>''"]+', '\1<path>', 'g'),
        '\b[\w.-]+(?:/[\w.-]+){2,}|\b[\w.-]+/[\w.-]+\.\w+', '<path>', 'g'),
        '\b0[xX][0-9a-fA-F]+\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b', '<hex>', 'g'),
        '\b\d{8,}\b', '<n>', 'g'),
        '\b[0-9a-fA-F]{8,}\b', '<hex>', 'g'),
        '\d+(?:[eE][-+]?\d+)?', '<n>', 'g'),
        '(?:\B[-+])?<n>(?:[.,:_]<n>)*', '<n>', 'g'),
        '\s+', ' ', 'g')
)
