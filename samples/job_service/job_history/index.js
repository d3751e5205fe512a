// The history of each job, and which of its call-backs are still to be made.

map('JobCreated', e => ({
    job: text(e.job, 'job'), history: entry(e, 'created'), callback: callback(e), delivered: []
}));

map('JobChanged', e => ({
    job: text(e.job, 'job'), history: entry(e, 'changed'), callback: null, delivered: []
}));

map('JobStarted', e => ({
    job: text(e.job, 'job'), history: entry(e, 'started'), callback: null, delivered: []
}));

map('JobCompleted', e => ({
    job: text(e.job, 'job'), history: entry(e, 'completed'), callback: null, delivered: []
}));

map('JobFailed', e => ({
    job: text(e.job, 'job'), history: entry(e, 'failed'), callback: null, delivered: []
}));

map('CallbackDelivered', e => ({
    job: text(e.job, 'job'), history: [], callback: null, delivered: [text(e.event, 'event')]
}));

function entry(e, what) {
    return [{ event: id(e), what, at: utc(e.at), fields: fields(e) }];
}

// Who is to be told of each new status; nobody, if the creation names no address.
function callback(e) {
    const url = e.callback ?? null;
    return url === null ? null : { url: text(url, 'callback'), at: utc(e.at), event: id(e) };
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

groupBy(h => h.job).aggregate(g => {
    const byEvent = new Map();
    const delivered = new Set();
    let callback = null;
    for (const value of g.values) {
        callback = later(callback, value.callback);
        for (const entry of value.history) byEvent.set(entry.event, entry);
        for (const event of value.delivered) delivered.add(event);
    }

    const history = [...byEvent.values()].sort((a, b) => later(a, b) === b ? -1 : 1);
    return { job: g.key, history, callback, delivered: [...delivered].sort() };
}).finalize(h => {
    // Call-backs go in the order of the life of a job, whatever the clocks say.
    const steps = ['created', 'started', 'completed', 'failed'];
    const delivered = new Set(h.delivered);
    const due = h.callback === null ? [] : h.history.filter(entry => !delivered.has(entry.event));
    const pending = steps.flatMap(step => due.filter(entry => entry.what === step))
        .map(entry => ({ event: entry.event, status: entry.what, at: entry.at }));
    return {
        job: h.job, history: h.history, callback: h.callback, delivered: h.delivered,
        pending, waiting: pending.length
    };
});

// Of two events the one that happened later; within one instant, the one with the greater document id.
function later(a, b) {
    if (a === null || b === null) return a ?? b;
    const before = a.at.slice(0, -1), after = b.at.slice(0, -1);
    if (before !== after) return before > after ? a : b;
    return a.event > b.event ? a : b;
}
