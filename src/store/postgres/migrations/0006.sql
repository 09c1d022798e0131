-- What the key of announcements is made of. Whoever may connect to a database can listen to its notifications and send some, so
-- the chunks in them are encrypted. Random identifiers of the server have 122 random bits each.
insert into cortado.meta (key, value)
values ('announcements', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
on conflict (key) do nothing;
