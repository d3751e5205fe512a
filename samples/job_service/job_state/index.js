// The state of each job: its status, and the latest value of each field.

map('JobCreated', e => ({
    job: text(e.job, 'job'), user: null, status: null,
    created: { user: text(e.user, 'user'), at: utc(e.at), event: id(e) },
    started: null, ended: null, fields: dated(e)
}));

map('JobChanged', e => ({
    job: text(e.job, 'job'), user: null, status: null, created: null, started: null, ended: null, fields: dated(e)
}));

map('JobStarted', e => ({
    job: text(e.job, 'job'), user: null, status: null, created: null,
    started: { at: utc(e.at), event: id(e) },
    ended: null, fields: dated(e)
}));

map('JobCompleted', e => ({
    job: text(e.job, 'job'), user: null, status: null, created: null, started: null,
    ended: { status: 'completed', at: utc(e.at), event: id(e) },
    fields: dated(e)
}));

map('JobFailed', e => ({
    job: text(e.job, 'job'), user: null, status: null, created: null, started: null,
    ended: { status: 'failed', at: utc(e.at), event: id(e) },
    fields: dated(e)
}));

// Each field carries its moment, so that the latest value of each can be told.
function dated(e) {
    return fields(e).map(({ name, value }) => ({ name, value, at: utc(e.at), event: id(e) }));
}

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

// Checks a time such as 2026-03-01T08:00:00Z (or with a fraction of a second) and gives it back.
function utc(at) {
    const written = text(at, 'at').slice(0, 19);
    const time = Date.parse(written + 'Z');
    const exists = !isNaN(time) && new Date(time).toISOString().slice(0, 19) === written;
    if (!exists || !/^.{19}(\.\d+)?Z$/.test(at)) throw new Error(`at must be a UTC time, but is '${at}'`);
    return at;
}

// The fields that an event sets, sorted by name. Values are texts, whole numbers, true, false and null.
function fields(e) {
    const given = e.fields ?? {};
    if (typeof given !== 'object' || Array.isArray(given)) throw new Error('fields must be an object');
    return Object.entries(given)
        .map(([name, value]) => ({ name, value: plain(value, name) }))
        .sort((a, b) => a.name < b.name ? -1 : 1);
}

function plain(value, name) {
    const isPlain = value === null || ['string', 'boolean'].includes(typeof value) || Number.isSafeInteger(value);
    if (!isPlain) throw new Error(`${name} must be a text, a whole number, true, false or null`);
    return value;
}

groupBy(s => s.job).aggregate(g => {
    let created = null, started = null, ended = null;
    const byName = new Map();
    for (const value of g.values) {
        created = later(created, value.created);
        started = later(started, value.started);
        ended = later(ended, value.ended);
        for (const field of value.fields) {
            byName.set(field.name, later(byName.get(field.name) ?? null, field));
        }
    }

    // What has ended has started, whatever the clocks of those who told it say.
    const before = started !== null ? 'started' : created !== null ? 'created' : null;

    return {
        job: g.key,
        user: created !== null ? created.user : null,
        status: ended !== null ? ended.status : before,
        created, started, ended,
        fields: [...byName.values()].sort((a, b) => a.name < b.name ? -1 : 1)
    };
});

// Of two events the one that happened later; within one instant, the one with the greater document id.
function later(a, b) {
    if (a === null || b === null) return a ?? b;
    const before = a.at.slice(0, -1), after = b.at.slice(0, -1);
    if (before !== after) return before > after ? a : b;
    return a.event > b.event ? a : b;
}
