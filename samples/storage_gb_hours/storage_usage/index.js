// Each change of somebody's rate, once for windows that end behind it and once for those that begin behind it. A window
// [from, to) has cost rateTo * to - rateFrom * from + base byte-milliseconds, summed over the changes before its ends.

map('FileShares', interval => {
    const changes = [];
    for (const { policy, job, rate } of interval.shares) {
        const owner = { policy, job, user: user(job), file: interval.file };
        changes.push(...change(owner, interval.from, BigInt(rate)));
        if (interval.to !== null) changes.push(...change(owner, interval.to, -BigInt(rate)));
    }
    return changes;
});

function change(owner, at, rate) {
    const base = rate * BigInt(at);
    return [
        { ...owner, edge: 'to', at, rateTo: rate, rateFrom: 0n, base: -base },
        { ...owner, edge: 'from', at, rateTo: 0n, rateFrom: rate, base }
    ];
}

function user(job) {
    return job === '(unattributed)' ? job : load(job, 'Jobs')?.user ?? '(unknown)';
}

groupBy(c => ({ policy: c.policy, job: c.job, user: c.user, file: c.file, edge: c.edge, at: c.at })).aggregate(g => {
    let rateTo = 0n, rateFrom = 0n, base = 0n;
    for (const value of g.values) {
        rateTo += value.rateTo;
        rateFrom += value.rateFrom;
        base += value.base;
    }
    const { policy, job, user, file, edge, at } = g.key;
    return { policy, job, user, file, edge, at, rateTo, rateFrom, base };
});
