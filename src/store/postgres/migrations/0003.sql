-- Jobs that programs submit in SQL, in transactions of their own. A node enqueues them and removes their rows in one
-- transaction.
create table cortado.inbox (
    -- The id of the job, which the caller knows.
    id uuid primary key,
    kind text not null,
    -- The job as the JSON API accepts it.
    submission text not null,
    -- When it was submitted, which is before its transaction was committed.
    at timestamptz not null default clock_timestamp()
);

-- The submissions that made no job, and why.
create table cortado.not_enqueued (
    id uuid primary key,
    kind text not null,
    submission text not null,
    submitted_at timestamptz not null,
    at timestamptz not null default now(),
    -- The code that the JSON API has for this, or `existing`: then the other job with its idempotency key stands for it.
    code text not null,
    reason text not null,
    existing_job uuid
);

-- The next three are called by the function below, with its search_path.
--
-- An id of version 7 (RFC 9562): 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.
create function cortado.new_job_id() returns uuid
language sql volatile as $$
    select encode(set_byte(set_byte(
        overlay(uuid_send(gen_random_uuid()) placing substring(int8send(us / 1000) from 3) from 1 for 6),
        6, (112 | (fraction >> 8))), 7, (fraction & 255)), 'hex')::uuid
    from (select (extract(epoch from clock_timestamp()) * 1000000)::int8 as us) as clock,
        lateral (select ((us % 1000) * 4096 / 1000)::int as fraction) as parts
$$;

-- Raises an error in the words of the JSON API about a text that is no name.
create function cortado.check_text(field text, given text, is_accepted bool, accepted text) returns void
language plpgsql immutable as $$
begin
    if not is_accepted then
        raise exception using errcode = 'invalid_parameter_value', column = field,
            message = format('%s "%s" is not valid: %s', field,
                left(given, 80) || case when length(given) > 80 then '…' else '' end, accepted);
    end if;
end $$;

-- The same about a number that is out of range.
create function cortado.check_number(field text, given int8, smallest int8, largest int8) returns void
language plpgsql immutable as $$
begin
    if given not between smallest and largest then
        raise exception using errcode = 'invalid_parameter_value', column = field,
            message = format('%s must be an integer from %s to %s, but is %s', field, smallest, largest, given);
    end if;
end $$;

-- Submits a job in the transaction of the caller, and returns its id. The arguments are the fields of the JSON API, and what
-- is null is the default of the kind. What needs more than this function knows is checked when the job is enqueued.
create function cortado.enqueue(
    kind text,
    payload jsonb default 'null',
    queue text default null,
    priority int default null,
    delay_ms int8 default null,
    run_at timestamptz default null,
    max_attempts int default null,
    backoff_base_ms int8 default null,
    backoff_cap_ms int8 default null,
    timeout_ms int8 default null,
    idempotency_key text default null,
    tags text[] default null
) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    plain_name constant text := '^[A-Za-z0-9_:-]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9_:-])?$';
    plain_words constant text :=
        'use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end';
    new_id constant uuid := cortado.new_job_id();
    payload_text constant text := coalesce(payload, 'null')::text;
    most_bytes constant int8 := coalesce(
        (select value::int8 from cortado.meta where key = 'max_payload'), 1048576);
    options jsonb;
    tag text;
begin
    perform cortado.check_text('kind', coalesce(kind, ''), coalesce(kind, '') ~ plain_name, plain_words);
    perform cortado.check_text('queue', queue, queue ~ plain_name, plain_words);
    perform cortado.check_text('idempotency_key', idempotency_key,
        length(idempotency_key) between 1 and 200 and idempotency_key = btrim(idempotency_key)
            and idempotency_key !~ '[[:cntrl:]]',
        'use 1 to 200 characters without characters that cannot be seen, or spaces at the ends');
    foreach tag in array coalesce(tags, '{}') loop
        perform cortado.check_text('tag', coalesce(tag, ''),
            length(coalesce(tag, '')) between 1 and 100 and tag = btrim(tag) and tag !~ '[[:cntrl:],]',
            'use 1 to 100 characters without commas, characters that cannot be seen, or spaces at the ends');
    end loop;
    if (select count(distinct name) from unnest(tags) as name) > 32 then
        raise exception using errcode = 'invalid_parameter_value', column = 'tags',
            message = 'at most 32 different tags are accepted';
    end if;
    perform cortado.check_number('priority', priority, -32768, 32767);
    perform cortado.check_number('delay_ms', delay_ms, 0, 315532800000);
    perform cortado.check_number('max_attempts', max_attempts, 1, 1000);
    perform cortado.check_number('backoff_base_ms', backoff_base_ms, 10, 604800000);
    perform cortado.check_number('backoff_cap_ms', backoff_cap_ms, 10, 604800000);
    perform cortado.check_number('timeout_ms', timeout_ms, 1, 604800000);
    if backoff_base_ms > backoff_cap_ms then
        raise exception using errcode = 'invalid_parameter_value', column = 'backoff_base_ms',
            message = format('the initial backoff (%s ms) must not exceed the maximum backoff (%s ms)',
                backoff_base_ms, backoff_cap_ms);
    end if;
    if delay_ms is not null and run_at is not null then
        raise exception using errcode = 'invalid_parameter_value', column = 'run_at',
            message = 'set delay_ms or run_at, not both';
    end if;
    if run_at not between '0001-01-01T00:00:00Z' and '9999-12-30T22:00:00Z' then
        raise exception using errcode = 'invalid_parameter_value', column = 'run_at',
            message = format('run_at must be a time from the year 0001 to 9999-12-30T22:00:00Z, but is %s', run_at);
    end if;
    if octet_length(payload_text) > most_bytes then
        raise exception using errcode = 'program_limit_exceeded', column = 'payload',
            message = format('the payload is %s bytes long and the limit is %s',
                octet_length(payload_text), most_bytes);
    end if;
    options := jsonb_strip_nulls(jsonb_build_object(
        'queue', queue,
        'priority', priority,
        'delay_ms', delay_ms,
        'run_at', to_char(run_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'max_attempts', max_attempts,
        'backoff', nullif(jsonb_strip_nulls(
            jsonb_build_object('base_ms', backoff_base_ms, 'cap_ms', backoff_cap_ms)), '{}'),
        'timeout_ms', timeout_ms,
        'idempotency_key', idempotency_key,
        'tags', to_jsonb(tags)));
    insert into cortado.inbox (id, kind, submission)
    values (new_id, kind, (jsonb_build_object('kind', kind, 'payload', payload) || options)::text);
    -- After the insert, which waits while the jobs are being moved.
    if exists (select from cortado.meta where key = 'moved_to') then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the jobs of this database were moved to another place';
    end if;
    perform pg_notify('cortado_inbox', '');
    return new_id;
end $$;

-- Submits again what made no job, under the same id, once its reason is gone. Returns whether there is such a submission.
create function cortado.enqueue_again(again uuid) returns bool
language sql volatile set search_path = pg_catalog, pg_temp as $$
    with gone as (
        delete from cortado.not_enqueued where id = again returning id, kind, submission
    ), back as (
        insert into cortado.inbox (id, kind, submission) select id, kind, submission from gone returning id
    )
    select count(pg_notify('cortado_inbox', '')::text) > 0 from back
$$;

-- Functions are open to everybody by default. Whoever may submit jobs is granted the first of these, and the use of the
-- schema; see docs/sql.md.
revoke all on function cortado.enqueue, cortado.enqueue_again, cortado.new_job_id, cortado.check_text,
    cortado.check_number from public;
