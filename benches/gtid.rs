//! What do GTID sets cost, by the number of their intervals?
//!
//! ```text
//! cargo bench --bench gtid
//! ```

use std::hint::black_box;

use bluegreen::model::GtidSet;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const UUID: [u8; 16] = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];

/// `interval_count` intervals of three numbers, the first of them at `first`, with gaps of seven.
fn set(first: u64, interval_count: u64) -> GtidSet {
    let mut set = GtidSet::default();
    for start in (0..interval_count).map(|index| first + index * 10) {
        set.insert_interval(UUID, "", start, start + 2).unwrap();
    }
    set
}

fn union(one: &GtidSet, other: &GtidSet) -> GtidSet {
    let mut union = one.clone();
    for (uuid, tag, intervals) in other.iter() {
        for (first, last) in intervals {
            union.insert_interval(uuid, tag, *first, *last).unwrap();
        }
    }
    union
}

fn sets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gtid");
    for interval_count in [1_u64, 100, 10_000] {
        let (one, other) = (set(1, interval_count), set(5, interval_count));
        let both = union(&one, &other);
        assert_eq!(both.count(), 6 * interval_count);
        assert!(both.covers(&one) && both.covers(&other) && !one.covers(&both));
        let text = both.to_string();
        assert_eq!(text.parse::<GtidSet>().unwrap(), both);

        group.throughput(Throughput::Elements(interval_count));
        group.bench_function(BenchmarkId::new("union", interval_count), |bencher| {
            bencher.iter(|| union(black_box(&one), black_box(&other)))
        });
        group.bench_function(BenchmarkId::new("covers", interval_count), |bencher| {
            bencher.iter(|| black_box(&both).covers(black_box(&one)))
        });
        group.bench_function(BenchmarkId::new("parse", interval_count), |bencher| {
            bencher.iter(|| black_box(&text).parse::<GtidSet>().unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, sets);
criterion_main!(benches);
