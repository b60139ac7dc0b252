//! Load is counted as it happened.

use crate::clinic::Clinic;
use crate::transport::{Network, patient};
use plantao_client::bench::{BenchKind, BenchOptions, run};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_load_does_something_without_errors() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let addresses = [network.serve(1, &clinic).await, network.serve(2, &clinic).await];
    let cluster = network.client("a", &addresses, patient());
    for kind in [
        BenchKind::Write,
        BenchKind::Book,
        BenchKind::Read,
        BenchKind::ReadLocal,
        BenchKind::ImagePut,
        BenchKind::ImageGet,
    ] {
        let options = BenchOptions {
            clients: 4,
            duration: Duration::from_millis(500),
            warmup: Duration::from_millis(50),
            image_bytes: 70_000,
            ..BenchOptions::new(kind)
        };
        // A machine may stand still for the whole of the measured time.
        let mut runs = 0;
        let report = loop {
            let report = run(&cluster, &options).await.unwrap();
            assert!(report.errors == 0 && report.unknown == 0, "{report:?}");
            runs += 1;
            if report.ops > 0 || runs == 60 {
                break report;
            }
        };
        assert!(report.ops > 0, "{report:?}");
        assert_eq!(report.mb_per_second.is_some_and(|rate| rate > 0.0), kind.is_of_images(), "{report:?}");
        assert!(report.p50 > 0.0 && report.p50 <= report.p99 && report.p999 <= report.max, "{report:?}");
    }
}
