// How long each user's jobs ran, in total and per UTC day, in seconds and in processor-seconds.

map('JobStarted', e => ({
    user: text(e.user, 'user'), jobs: 0, seconds: 0, processorSeconds: 0, days: [],
    open: [{ job: text(e.job, 'job'), from: second(e.at), to: null, procs: count(e.procs) }]
}));

map('JobCompleted', e => ({
    user: text(e.user, 'user'), jobs: 0, seconds: 0, processorSeconds: 0, days: [],
    open: [{ job: text(e.job, 'job'), from: null, to: second(e.at), procs: null }]
}));

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

// How many processors; a job that does not say runs on one.
function count(procs) {
    const value = procs ?? 1;
    if (!Number.isSafeInteger(value) || value < 0) throw new Error('procs must be a whole number');
    return value;
}

// Seconds since 1970 of a time such as 2026-03-01T08:00:00Z; a fraction of a second is cut off.
function second(at) {
    const written = text(at, 'at').slice(0, 19);
    const time = Date.parse(written + 'Z');
    const exists = !isNaN(time) && new Date(time).toISOString().slice(0, 19) === written;
    if (!exists || !/^.{19}(\.\d+)?Z$/.test(at)) throw new Error(`at must be a UTC time, but is '${at}'`);
    return time / 1000;
}

groupBy(e => e.user).aggregate(g => {
    const days = new Map();
    const open = new Map();
    let jobs = 0;
    for (const value of g.values) {
        jobs += value.jobs;
        for (const { day, seconds, processorSeconds } of value.days) {
            add(days, day, seconds, processorSeconds);
        }
        for (const half of value.open) {
            const job = join(open.get(half.job), half);
            if (job.from === null || job.to === null) {
                open.set(job.job, job);
            } else {
                open.delete(job.job);
                jobs += 1;
                spread(days, job);
            }
        }
    }

    const sorted = [...days.values()].sort((a, b) => a.day < b.day ? -1 : 1);
    return {
        user: g.key,
        jobs,
        seconds: sorted.reduce((sum, day) => sum + day.seconds, 0),
        processorSeconds: sorted.reduce((sum, day) => sum + day.processorSeconds, 0),
        days: sorted,
        open: [...open.values()].sort((a, b) => a.job < b.job ? -1 : 1)
    };
});

// The two events of a job meet here, in whatever order they come.
function join(known, half) {
    if (known === undefined) return half;
    return {
        job: half.job,
        from: half.from ?? known.from,
        to: half.to ?? known.to,
        procs: half.procs ?? known.procs
    };
}

// Splits a finished job at every midnight (UTC) that it ran over.
function spread(days, { from, to, procs }) {
    for (let start = from; start < to;) {
        const midnight = (Math.floor(start / 86400) + 1) * 86400;
        const end = Math.min(to, midnight);
        const day = new Date(start * 1000).toISOString().slice(0, 10);
        add(days, day, end - start, (end - start) * procs);
        start = end;
    }
}

function add(days, day, seconds, processorSeconds) {
    const known = days.get(day) ?? { day, seconds: 0, processorSeconds: 0 };
    known.seconds += seconds;
    known.processorSeconds += processorSeconds;
    days.set(day, known);
}
