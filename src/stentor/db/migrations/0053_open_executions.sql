-- A brand's executions that are not over, found beside all that are.
-- squawk-ignore-file require-concurrent-index-creation

CREATE INDEX execution_of_brand_open ON execution (brand_id, state, id) WHERE state IN ('scheduled', 'queued', 'planning', 'sending');
