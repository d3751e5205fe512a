// Who pays for each interval of a file, by each policy: rates in bytes, whole numbers that add up to the size.

map('FileTimelines', timeline => timeline.intervals.map(interval => ({
    file: timeline.file, from: interval.from, to: interval.to, size: interval.size, jobs: interval.jobs
})));

groupBy(i => ({ file: i.file, from: i.from })).aggregate(g => {
    // A file has one timeline, and a timeline one interval from an instant on.
    const { to, size, jobs } = g.values[0];
    return { file: g.key.file, from: g.key.from, to, size, jobs };
}).finalize(r => ({ file: r.file, from: r.from, to: r.to, size: r.size, shares: shares(r.size, r.jobs) }));

function shares(size, jobs) {
    const nobody = '(unattributed)';
    let first = null;
    for (const link of jobs) {
        if (first === null || link.since < first.since) first = link;
    }
    const alone = jobs.length === 1 ? jobs[0].job : nobody;
    return [
        ...equal(size, jobs.length === 0 ? [nobody] : jobs.map(link => link.job)),
        { policy: 'first-linked', job: first?.job ?? nobody, rate: size },
        { policy: 'only-if-unshared', job: alone, rate: size }
    ].filter(share => share.rate > 0);
}

// What does not divide goes to the first jobs, one byte each.
function equal(size, jobs) {
    const rest = size % jobs.length;
    const rate = (size - rest) / jobs.length;
    return jobs.map((job, i) => ({ policy: 'equal', job, rate: i < rest ? rate + 1 : rate }));
}
